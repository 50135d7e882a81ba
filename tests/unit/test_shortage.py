"""Too little memory and too few open files: one line, and a documented exit code."""

import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from fwbuild import start
from fwbuild.errors import ExitCode
from fwbuild.shortage import THREADS, shortage
from fwbuild.sizes import MIB

FWBUILD = [sys.executable, "-m", "fwbuild"]
HINT = "(hint: `ulimit -a` shows the limits"

# MiB of address space, arguments, words. {big} is a file of 300 MiB.
MEMORY = {
    "as libraries are loaded": (40, ["verify"], "this machine: too little memory (hint: "),
    "for a file": (250, ["inspect", "{big}"], "this machine: too little memory (hint: "),
    "for an emulated CPU": (300, ["verify"], "no 1 GiB of address space for the emulated CPU"),
    "for its memory": (1400, ["verify"], "too little memory for the emulated machine"),
}


def limited(kind: int, most: int, argv: list[str]) -> "subprocess.CompletedProcess[str]":
    limit = partial(resource.setrlimit, kind, (most, most))
    return subprocess.run(argv, preexec_fn=limit, capture_output=True, text=True, check=False)


def is_one_line(done: "subprocess.CompletedProcess[str]", words: str) -> None:
    assert done.returncode == ExitCode.INPUT
    assert done.stderr.startswith("fwbuild: error: ") and done.stderr.count("\n") == 1
    assert words in done.stderr and HINT in done.stderr


@pytest.mark.parametrize("name", MEMORY)
def test_too_little_memory(name: str, tmp_path: Path) -> None:
    most, words, said = MEMORY[name]
    big = tmp_path / "big"
    with big.open("wb") as stream:
        stream.truncate(300 * MIB)
    arguments = [word.format(big=big, tmp=tmp_path) for word in words]
    is_one_line(limited(resource.RLIMIT_AS, most * MIB, [*FWBUILD, *arguments]), said)


# Python code before fwbuild's first line that leaves no descriptor: in the first imports, or later.
FULL = (
    "import resource, sys; from fwbuild.start import main{more}\n"
    + """
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
sys.argv[1:] = ["verify"]
sys.exit(main())
"""
)
MORE = [
    "",
    "; import fwbuild.errors",
    "; import fwbuild.process",
    "; import fwbuild.process, fwbuild.cli",
]


@pytest.mark.parametrize("more", MORE)
def test_too_few_open_files(more: str) -> None:
    code = FULL.format(more=more)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.INPUT
    assert done.stderr.startswith("fwbuild: error: ") and done.stderr.count("\n") == 1
    assert "Too many open files" in done.stderr and "(hint: " in done.stderr


def test_codes_are_the_same() -> None:
    assert start.NO_START == ExitCode.INPUT


# an exception: what was short
SHORT = {
    "memory": (MemoryError(), "too little memory"),
    "the guest's memory": (MemoryError("no memory at 0x0"), ""),
    "threads": (RuntimeError(THREADS), "no thread can be started"),
    "another": (RuntimeError("no"), ""),
    "a library that is not there": (ImportError("no"), ""),
}


@pytest.mark.parametrize("name", SHORT)
def test_what_is_short(name: str) -> None:
    error, what = SHORT[name]
    assert shortage(error) == what
