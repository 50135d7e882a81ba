"""Tries an accelerator: a /dev/kvm may be there and run no guest, or emulate each instruction."""

import os
import select
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from fwbuild.abi import ports
from fwbuild.firmware import trial
from fwbuild.guest import Guest
from fwbuild.qemu.child import child
from fwbuild.qemu.command import command
from fwbuild.qemu.program import program
from fwbuild.sizes import MIB

DEVICE = Path("/dev/kvm")
STDOUT = Path("/dev/stdout")
START_SECONDS = 10  # from QEMU's start to the guest's first word
COUNT_SECONDS = 0.5  # what a processor does in a hundredth of it
END_SECONDS = 2  # from closed streams to the exit status


def kvm_problem(firmware: bytes, device: Path = DEVICE) -> str:
    """Why QEMU's guests are not to run under KVM here, "" where they may. `firmware` is
    payloads.trial's."""
    if not device.exists():
        return f"there is no {device}"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"no permission for {device}"
    return problem(firmware, "kvm")


def problem(firmware: bytes, accel: str) -> str:
    """Why no guest runs `firmware` at a processor's pace under an accelerator, "" if one has. It
    takes tenths of a second, and START_SECONDS at most."""
    with tempfile.TemporaryDirectory(prefix="fwbuild-") as folder:
        bios = Path(folder) / "trial.bin"
        bios.write_bytes(firmware)
        guest = Guest(memory=MIB, accel=accel)
        return _run(command(guest, bios=bios, console=STDOUT))


def _run(argv: list[str]) -> str:
    with tempfile.TemporaryFile("w+", errors="replace") as errors:

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

        return _judged(start, errors)


def _judged(start: Callable[[], subprocess.Popen[bytes]], errors: IO[str]) -> str:
    with child(start) as process:
        try:
            return _watch(process) or _status(process.wait(END_SECONDS))
        except subprocess.TimeoutExpired:
            return f"{program()} does not end under it"
        except _EarlyEnd:
            errors.seek(0)
            words = errors.read().strip().splitlines()
            return words[-1] if words else f"{program()} ends before a guest runs"


class _EarlyEnd(Exception):
    """QEMU has ended before the guest ran."""


def _watch(process: subprocess.Popen[bytes]) -> str:
    """The reason for which a guest does not get from its first word to its end, if any."""
    assert process.stdout
    if not _readable(process.stdout, START_SECONDS):
        return f"a guest has not run after {START_SECONDS} s"
    if process.stdout.read(1) != bytes([trial.STARTED]):
        raise _EarlyEnd
    if not _readable(process.stdout, COUNT_SECONDS):
        return f"a guest took more than {COUNT_SECONDS} s to count to {trial.ROUNDS}"
    return ""


def _readable(stream: IO[bytes], seconds: float) -> bool:
    return bool(select.select([stream], [], [], seconds)[0])


def _status(status: int) -> str:
    if status == ports.debug_exit_status(trial.EXIT_DONE):
        return ""
    return f"QEMU ended with status {status} instead of the guest's"
