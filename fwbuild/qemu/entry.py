"""A real QEMU that is stopped at a kernel's entry, as a judge looks at it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fwbuild.abi.x86 import Access
from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.recording import Recording
from fwbuild.emulator.state import End, Hidden, State
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import Guest
from fwbuild.qemu.command import command
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.session import FOR_MACHINE, stopped

SECONDS = 60  # to the entry
SEGMENTS = ("cs", "ds", "es", "fs", "gs", "ss", "tr")


@contextmanager
def at_entry(guest: Guest, bios: Path, *entries: int) -> Iterator[GdbStub]:
    """QEMU at the linear address of a kernel's entry, the first that it comes to. Raises
    FwbuildError where it comes to none, ends before, or does not start."""
    with stopped(command(guest, bios=bios), "-gdb", SECONDS) as connection:
        stub = GdbStub(connection)
        try:
            stub.run_to(*entries)
        except TimeoutError:
            what = f"the kernel was not entered within {SECONDS} s"
            raise FwbuildError(ExitCode.JUDGEMENT, what, hint=FOR_MACHINE) from None
        yield stub


def state_at_entry(
    stub: GdbStub, recording: Recording, loaded: Loaded, *, own: bool = True
) -> State:
    """The state for a judge. `recording` is what this QEMU offers, `loaded` what its loader did;
    `own` says whether the firmware is fwbuild's.
    The guest's writes to fw_cfg files are not seen, nor which pages it wrote."""
    registers = stub.registers()

    def file(name: str) -> bytes:
        found = recording.file(name)
        return found.data if found else b""

    return State(
        protocol=loaded.protocol,
        end=End.HANDOFF,
        registers=registers,
        gdtr=(registers["gdt_base"], registers["gdt_limit"]),
        tr=registers["tr"],
        hidden={name: _hidden(registers, name) for name in SEGMENTS},
        read=stub.read,
        host=recording,
        items=recording.keys | loaded.keys,
        file=file,
        segments=loaded.segments,
        laid=loaded.laid,
        own=own,
    )


def _hidden(registers: dict[str, int], name: str) -> Hidden:
    """A segment register's hidden part; `info registers` shows the descriptor's upper dword.
    LTR marks a task as busy. TCG does so in memory alone and keeps what it has read there
    (target/i386/tcg/seg_helper.c, helper_ltr)."""
    access = registers[f"{name}_flags"] >> 8 & 0xFF
    if name == "tr" and access == Access.TSS32:
        access = Access.TSS32_BUSY
    return Hidden(registers[f"{name}_base"], registers[f"{name}_limit"], access)
