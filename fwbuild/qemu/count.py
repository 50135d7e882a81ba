"""Counts device accesses and instructions from reset to a kernel's entry, on a real QEMU.

A device access is an exit to userspace under KVM, but for the interrupt controllers. Both
counts are exact. An iteration of a `rep` counts as an instruction.
"""

import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from fwbuild.guest import Guest
from fwbuild.qemu.command import command
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.record import version
from fwbuild.qemu.session import stopped

ONE_INSN_PER_TB = (8, 1)  # the QEMU version whose -accel option took the place of -singlestep


@dataclass(frozen=True)
class Count:
    """What it takes from reset to the kernel's entry."""

    accesses: int
    instructions: int


def count(guest: Guest, bios: Path, entry: int) -> Count:
    """Two runs: one traced for accesses, one stepped for instructions."""
    with tempfile.TemporaryDirectory(prefix="fwbuild-") as folder:
        log = Path(folder) / "log"
        accesses = _run(guest, bios, entry, ["-trace", "memory_region_ops_*", "-D", str(log)], log)
        found = sum(1 for line in accesses if re.search(r"memory_region_ops_\w+ cpu \d", line))
        step = ["-d", "exec,nochain", "-D", str(log)]
        numbers = tuple(int(part) for part in version().split(".")[:2])
        if numbers >= ONE_INSN_PER_TB:
            guest = replace(guest, accel="tcg,one-insn-per-tb=on")
        else:
            step.append("-singlestep")
        log.unlink()
        lines = _run(guest, bios, entry, step, log)
        marker = f"/{entry:016x}/"
        executed = 0
        for line in lines:
            if marker in line:
                break
            executed += line.startswith("Trace ")
    return Count(found, executed)


def _run(guest: Guest, bios: Path, entry: int, more: list[str], log: Path) -> list[str]:
    argv = [*command(guest, bios=bios), *more]
    with stopped(argv, "-gdb", seconds=60) as connection:
        GdbStub(connection).run_to(entry)
    return log.read_text(errors="replace").splitlines()
