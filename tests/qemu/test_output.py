"""What QEMU and gdb print is on standard output whole, or its loss is told."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

from fwbuild.abi import ports
from fwbuild.errors import ExitCode
from tests.conftest import need
from tests.support.small_kernel import pvh_kernel

pytestmark = pytest.mark.qemu

FWBUILD = [sys.executable, "-m", "fwbuild"]
RUN = ["run", "--accel", "tcg", "--timeout", "60"]
VERBS = {
    "run": RUN,
    "run --expect": [*RUN, "--expect", "memory"],
    "run --guest-status": [*RUN, "--guest-status"],
    "gdb": ["gdb", "--batch", "--ex", "info registers"],
}
PORT = "mov dx, 0x3f8"
ECHO = f"""
{PORT}; mov al, 0x21; out dx, al
again: mov dx, 0x3fd; in al, dx; test al, 1; jz again; {PORT}; in al, dx
cmp al, 0x71; je quit; inc al; out dx, al; jmp again
quit: mov dx, {ports.DEBUG_EXIT:#x}; mov al, 0; out dx, al"""
FLOOD = f"{PORT}; again: mov al, 0x78; out dx, al; jmp again"


@pytest.fixture(params=VERBS)
def verb(request: pytest.FixtureRequest) -> list[str]:
    if request.param == "gdb" and not shutil.which("gdb"):
        need("gdb")
    return [*FWBUILD, *VERBS[request.param]]


def test_full_disk(verb: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(verb, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == ExitCode.INPUT
    last = done.stderr.splitlines()[-1]
    assert last.startswith("fwbuild: error: standard output: cannot write: No space left"), last


def test_nobody_reads(verb: list[str]) -> None:
    reading, out = os.pipe()
    os.close(reading)
    done = subprocess.run(verb, stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    os.close(out)
    assert done.returncode == ExitCode.BROKEN_PIPE
    assert "error" not in done.stderr


def test_all_is_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with out.open("wb") as stream:
        subprocess.run([*FWBUILD, *RUN], stdout=stream, stderr=subprocess.PIPE, check=True)
    piped = subprocess.run([*FWBUILD, *RUN], capture_output=True, check=True)
    assert out.read_bytes() == piped.stdout
    assert out.read_bytes().startswith(b"test kernel: ") and out.read_bytes().endswith(b"\n")


def test_a_reader_that_does_not_read(tmp_path: Path) -> None:
    """It does not keep a guest alive beyond its time."""
    (tmp_path / "kernel").write_bytes(pvh_kernel(FLOOD))
    reading, out = os.pipe()
    start = time.monotonic()
    words = ["run", "--accel", "tcg", "--timeout", "5", str(tmp_path / "kernel")]
    done = subprocess.run([*FWBUILD, *words], stdout=out, timeout=100, check=False)
    assert time.monotonic() - start < 60
    os.close(out)
    os.close(reading)
    assert done.returncode == ExitCode.TIMEOUT


@pytest.mark.parametrize("end", ["q", "Ctrl-C"])
def test_a_terminal_is_the_guests(end: str, tmp_path: Path) -> None:
    """Each key reaches it, not a line at a time, and comes back as it answers alone."""
    (tmp_path / "kernel").write_bytes(pvh_kernel(ECHO))
    words = ["-m", "fwbuild", *RUN, str(tmp_path / "kernel")]
    child = pexpect.spawn(sys.executable, words, encoding="utf-8", timeout=100)
    try:
        child.expect("!")  # by then QEMU has turned the terminal's own echo off
        child.send("adg")
        child.expect("beh")
        assert "adg" not in child.before
        if end == "q":
            child.send("q")
        else:
            child.sendintr()
        child.expect(pexpect.EOF)
        child.wait()
    finally:
        child.close(force=True)
    assert child.exitstatus == (ExitCode.OK if end == "q" else ExitCode.INTERRUPTED)
