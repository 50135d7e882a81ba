"""Counts device accesses and instructions from reset to a kernel's entry, on a real QEMU.

A device access is an exit to userspace under KVM, but for the interrupt controllers. Both
counts are exact. An iteration of a `rep` counts as an instruction.
"""

import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from fwbuild.guest import Guest
from fwbuild.qemu.command import command
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.record import version
from fwbuild.qemu.session import stopped

ONE_INSN_PER_TB = (8, 1)  # the QEMU version whose -accel option took the place of -singlestep
ACCESS = re.compile(rb"memory_region_ops_\w+ cpu \d")
INSTRUCTION = re.compile(rb"Trace \d")
SECONDS = 300  # SeaBIOS takes millions of instructions


@dataclass(frozen=True)
class Count:
    """What it takes from reset to the kernel's entry."""

    accesses: int
    instructions: int


def count(guest: Guest, bios: Path, *entries: int) -> Count:
    """Two runs, to whichever of a kernel's entries is reached first: one traced for accesses,
    one stepped for instructions."""
    accesses = _run(guest, bios, entries, ["-trace", "memory_region_ops_*"], ACCESS)
    return Count(accesses, instructions(guest, bios, *entries))


def instructions(guest: Guest, bios: Path, *addresses: int) -> int:
    """Instructions from reset to whichever of the addresses is reached first."""
    step = ["-d", "exec,nochain"]
    numbers = tuple(int(part) for part in version().split(".")[:2])
    if numbers >= ONE_INSN_PER_TB:
        guest = replace(guest, accel="tcg,one-insn-per-tb=on")
    else:
        step.append("-singlestep")
    return _run(guest, bios, addresses, step, INSTRUCTION)


def _run(
    guest: Guest, bios: Path, entries: tuple[int, ...], more: list[str], counted: re.Pattern[bytes]
) -> int:
    """How many lines of QEMU's log are counted before an entry. The log goes through a pipe: a
    line is a hundred bytes, and there may be millions."""
    end, begin = os.pipe()
    with open(end, "rb") as log, open(begin, "wb") as theirs, ThreadPoolExecutor(1) as pool:  # noqa: PTH123
        argv = [*command(guest, bios=bios), *more, "-D", f"/dev/fd/{theirs.fileno()}"]
        found = pool.submit(lines_before, log, entries, counted)
        with stopped(argv, "-gdb", SECONDS, [theirs]) as connection:
            GdbStub(connection).run_to(*entries)
        return found.result()


def lines_before(
    log: IO[bytes] | Iterable[bytes], entries: Iterable[int], counted: re.Pattern[bytes]
) -> int:
    """The lines that match, up to the one whose instruction is at an entry."""
    markers = re.compile(b"|".join(b"/%016x/" % entry for entry in entries))
    found, over = 0, False
    for line in log:  # to its end, or QEMU would wait for a reader
        over = over or bool(markers.search(line))
        found += not over and bool(counted.match(line))
    return found
