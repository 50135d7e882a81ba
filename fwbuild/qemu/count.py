"""Counts device accesses and instructions from reset to a kernel's entry, on a real QEMU.

A device access is an exit to userspace under KVM, but for the interrupt controllers. Both
counts are exact, and the same on every version of QEMU. Instructions are those of the first
CPU. One that follows itself counts once: a `rep` is one instruction, however often it repeats,
as for a CPU's counter of retired instructions (Intel's INST_RETIRED, beside REP_ITERATION).
"""

import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from fwbuild.guest import Guest
from fwbuild.qemu.command import command
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.program import program
from fwbuild.qemu.session import stopped

ONE_INSN_PER_TB = (8, 1)  # the QEMU version whose -accel option took the place of -singlestep
ACCESS = re.compile(rb"memory_region_ops_\w+ cpu \d")
BLOCK = re.compile(rb"Trace 0: \w+ \[\w+/(\w+)/")  # CPU 0's; the address of the instruction
TRACE_ACCESSES = ("-trace", "memory_region_ops_*")
SECONDS = 300  # SeaBIOS takes millions of instructions


@dataclass(frozen=True)
class Count:
    """Accesses and instructions from reset to the kernel's entry."""

    accesses: int
    instructions: int


def count(guest: Guest, bios: Path, *entries: int) -> Count:
    """Two runs, to whichever of a kernel's entries is reached first: one traced for accesses,
    one stepped for instructions."""
    accesses = run_counting(guest, bios, entries, list(TRACE_ACCESSES), is_access)
    return Count(accesses, instructions(guest, bios, *entries))


def instructions(guest: Guest, bios: Path, *addresses: int) -> int:
    """Instructions from reset to whichever of the addresses is reached first."""
    step = ["-d", "exec,nochain"]
    if program().numbers >= ONE_INSN_PER_TB:
        guest = replace(guest, accel="tcg,one-insn-per-tb=on")
    else:
        step.append("-singlestep")
    return run_counting(guest, bios, addresses, step, is_instruction())


Counted = Callable[[bytes], bool]


def is_access(line: bytes) -> bool:
    """Whether a line of the trace is a CPU's access to a device."""
    return bool(ACCESS.match(line))


def is_instruction() -> Counted:
    """Tells for each line of a log of blocks of one instruction whether it counts. How many
    blocks a `rep` is depends on the version; they follow each other."""
    last = b""

    def counts(line: bytes) -> bool:
        nonlocal last
        block = BLOCK.match(line)
        if block is None or block[1] == last:
            return False
        last = block[1]
        return True

    return counts


def run_counting(
    guest: Guest, bios: Path, entries: tuple[int, ...], more: list[str], counted: Counted
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


def lines_before(log: IO[bytes] | Iterable[bytes], entries: Iterable[int], counted: Counted) -> int:
    """The lines that count, up to the one whose instruction is at an entry."""
    markers = re.compile(b"|".join(b"/%016x/" % entry for entry in entries))
    found, over = 0, False
    for line in log:  # to its end, or QEMU would wait for a reader
        over = over or bool(markers.search(line))
        found += not over and counted(line)
    return found
