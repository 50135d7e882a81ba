"""Holds the state at a bzImage's 16-bit entry against Linux's boot protocol and the PC BIOS.

Source: Linux, Documentation/arch/x86/boot.rst, "Running the Kernel"; IBM PC/AT Technical
Reference (vectors and data area).
"""

from collections.abc import Iterator

from fwbuild.abi import e820, linux_boot, x86
from fwbuild.abi.bios import Vector
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator.handoff_linux16 import SetupHandoff, read_setup_handoff
from fwbuild.emulator.judge_platform import find_rsdp, memmap_problems, table_problems
from fwbuild.emulator.machine import Machine, Outcome
from fwbuild.firmware import layout

SERVED = (
    Vector.TIMER,
    Vector.VIDEO,
    Vector.EQUIPMENT,
    Vector.MEMORY,
    Vector.DISK,
    Vector.SYSTEM,
    Vector.KEYS,
    Vector.TIME,
)


def judge_linux16(machine: Machine, outcome: Outcome) -> list[str]:
    """Each departure in words; none when all is well."""
    if outcome.kind != "handoff":
        return [f"the kernel was not entered: {outcome.kind} {outcome.detail}".strip()]
    problems = [*_registers(outcome)]
    try:
        handoff = read_setup_handoff(machine.read, outcome.registers["ds"])
    except MemoryError as error:
        return [*problems, f"DS or the command line points nowhere: {error}"]
    return [
        *problems,
        *_bios(handoff),
        *memmap_problems(machine, handoff.memmap, layout.BIOS.base),
        *table_problems(machine, handoff.memmap, find_rsdp(machine)),
        *_contents(machine, handoff),
    ]


def _registers(outcome: Outcome) -> Iterator[str]:
    registers = outcome.registers
    if registers["cr0"] & (x86.Cr0.PE | x86.Cr0.PG):
        yield f"CR0 is {registers['cr0']:#x}: not in real mode"
    if registers["eflags"] & x86.Eflags.IF:
        yield "EFLAGS.IF is set"
    if (registers["cs"], registers["eip"]) != (registers["ds"] + (linux_boot.SECTOR >> 4), 0):
        yield f"entered at {registers['cs']:#x}:{registers['eip']:#x}, not DS + 0x20:0"
    for name in ("es", "fs", "gs", "ss"):
        if registers[name] != registers["ds"]:
            yield f"{name.upper()} is {registers[name]:#x}, DS is {registers['ds']:#x}"


def _bios(handoff: SetupHandoff) -> Iterator[str]:
    header, bda = handoff.header, handoff.bda
    idle = handoff.vectors[0]
    for number, (segment, offset) in enumerate(handoff.vectors):
        if not layout.BIOS.base <= segment * 16 + offset < layout.BIOS.end:
            yield f"vector {number:#x} leads to {segment:#x}:{offset:#x}"
    for vector in SERVED:
        if handoff.vectors[vector] == idle:
            yield f"nobody serves INT {vector:#x}"
    if bda.base_memory << 10 != layout.BIOS.base:
        yield f"data area: {bda.base_memory} KiB of conventional memory"
    if bda.ebda_segment << 4 != e820.EBDA:
        yield f"data area: the EBDA is at segment {bda.ebda_segment:#x}"
    if header.heap_end_ptr + linux_boot.SECTOR > layout.region("setup").size:
        yield f"the heap's end {header.heap_end_ptr:#x} lies outside the setup code's segment"


def _contents(machine: Machine, handoff: SetupHandoff) -> Iterator[str]:
    items = machine.fw_cfg.items

    def number(key: Key) -> int:
        return int.from_bytes(items.get(key, b""), "little")

    if handoff.address != number(Key.SETUP_ADDR):
        yield f"the setup code is at {handoff.address:#x}, not where the host wants it"
    pieces = {
        "setup code": (handoff.address, items[Key.SETUP_DATA]),
        "kernel": (number(Key.KERNEL_ADDR), items[Key.KERNEL_DATA]),
        "initrd": (handoff.header.ramdisk_image, items.get(Key.INITRD_DATA, b"")),
    }
    for name, (address, data) in pieces.items():
        if data and machine.read(address, len(data)) != data:
            yield f"the {name} is damaged"
    if handoff.header.ramdisk_size != len(pieces["initrd"][1]):
        yield f"the initrd has {handoff.header.ramdisk_size} bytes"
    cmdline = items.get(Key.CMDLINE_DATA, b"").rstrip(b"\0")
    if handoff.cmdline != cmdline:
        yield f"the command line is {handoff.cmdline!r}, not {cmdline!r}"
