"""The command line as a process: SIGINT, a pipe that nobody reads, a full disk, odd bytes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fwbuild.errors import ExitCode
from fwbuild.payloads.test_kernel import (
    build_test_bzimage,
    build_test_kernel,
    build_test_multiboot,
)

RUN = [sys.executable, "-m", "fwbuild"]

# Verbs that print by print() and by rich, much and little, and argparse's own text.
PRINTERS = {
    "map": ["map"],
    "inspect": ["inspect", "--json", sys.executable],
    "errors": ["errors"],
    "verify": ["verify"],
    "symbols": ["build", "--symbols"],
    "help": ["--help"],
    "version": ["--version"],
}


def run(arguments: list[str], stdout: int) -> tuple[int, str]:
    """(exit code, stderr) of a command line."""
    done = subprocess.run(
        [*RUN, *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", PRINTERS)
def test_nobody_reads(name: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert run(PRINTERS[name], stdout=writing) == (ExitCode.BROKEN_PIPE, "")
    finally:
        os.close(writing)


@pytest.mark.parametrize("name", PRINTERS)
def test_full_disk(name: str) -> None:
    with Path("/dev/full").open("wb") as full:
        code, said = run(PRINTERS[name], stdout=full.fileno())
    assert code == ExitCode.INPUT
    assert said.startswith("fwbuild: error: standard output: cannot write: No space left")
    assert said.count("\n") == 1


@pytest.mark.parametrize(("redirection", "code"), [("2>/dev/full", 2), ("2>&-", 2), (">&-", 0)])
def test_closed_streams(redirection: str, code: int) -> None:
    verb = "nope" if code else "errors"
    line = f'"$0" -m fwbuild {verb} {redirection}'
    done = subprocess.run(["sh", "-c", line, sys.executable], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (code, b"")


# SIGINT as a module is imported, and as the interpreter ends.
# argv: the module or "atexit", and the file to build.
SIGNALLED = """
import atexit, os, signal, sys
moment = sys.argv[1]
def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
class Finder:
    def find_spec(self, name, *_):
        if name == moment:
            interrupt()
if moment == "atexit":
    atexit.register(interrupt)
sys.meta_path.insert(0, Finder())
from fwbuild.process import main
sys.argv[1:] = ["build", "--out", sys.argv[2]]
sys.exit(main())
"""
MOMENTS = {
    "fwbuild.cli": ExitCode.INTERRUPTED,
    "argparse": ExitCode.INTERRUPTED,
    "fwbuild.verbs.build": ExitCode.INTERRUPTED,
    "keystone": ExitCode.INTERRUPTED,
    "atexit": ExitCode.OK,  # the work is done
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_interrupted(moment: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED, moment, str(tmp_path / "bios.bin")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (MOMENTS[moment], "")
    assert bool(list(tmp_path.iterdir())) == (MOMENTS[moment] == ExitCode.OK)


ODD = os.fsdecode(b"\xff\xfe")  # no UTF-8


def test_names_that_are_no_utf_8(tmp_path: Path) -> None:
    kernel = tmp_path / ODD
    kernel.write_bytes(b"text")
    for arguments in (["verify", "--kernel", str(kernel)], ["inspect", str(kernel)], [ODD]):
        code, said = run(arguments, stdout=subprocess.DEVNULL)
        assert code in (ExitCode.KERNEL, ExitCode.USAGE)
        assert said.count("\n") == 1
        assert said.startswith("fwbuild: error: ")


@pytest.mark.parametrize("kernel", [build_test_kernel, build_test_bzimage, build_test_multiboot])
def test_append_that_is_no_utf_8(kernel: Callable[[], bytes], tmp_path: Path) -> None:
    """The bytes reach the kernel as they are; the judge compares them."""
    (tmp_path / ODD).write_bytes(kernel())
    line = ["verify", "--kernel", str(tmp_path / ODD), "--append", ODD, "--json"]
    done = subprocess.run([*RUN, *line], capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["handoff"]["cmdline"].endswith("\xff\xfe")
