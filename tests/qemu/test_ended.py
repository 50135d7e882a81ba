"""A signal while QEMU runs: QEMU ends, too, and no scratch file is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fwbuild.errors import ExitCode

pytestmark = pytest.mark.qemu

# A guest that waits for ever, QEMU on a terminal and QEMU that is asked.
WAITING = {
    "run": ["run", "--", "-S"],
    "real": ["verify", "--real", "--object", "rng-random,id=a,filename=/dev/random"],
}
ENDS = {signal.SIGINT: int(ExitCode.INTERRUPTED), signal.SIGTERM: -signal.SIGTERM}


def children(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_qemu(pid: int) -> bool:
    """By its arguments: a QEMU with a C library of its own is started by that library's loader."""
    try:
        return b"qemu-system" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize("verb", WAITING)
def test_qemu_ends(verb: str, number: signal.Signals, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "fwbuild", *WAITING[verb]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        text=True,
    )
    end = time.monotonic() + 60
    while not (found := [c for c in children(process.pid) if is_qemu(c)]):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == ENDS[number]
    assert "Traceback" not in said and "error" not in said
    end = time.monotonic() + 5  # one that was asked for its version ends by itself
    while any(is_qemu(c) for c in found):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert list(tmp_path.iterdir()) == []
