"""Holds the state at a Multiboot kernel's entry against the specification.

Source: Multiboot Specification 0.6.96, 3.2 and 3.3.
"""

from collections.abc import Iterator

from fwbuild.abi import e820, multiboot, x86
from fwbuild.abi.fw_cfg import Key
from fwbuild.abi.multiboot import INFO, InfoFlag
from fwbuild.emulator.handoff_multiboot import MultibootHandoff, read_multiboot_handoff
from fwbuild.emulator.judge import flat_segments
from fwbuild.emulator.judge_platform import find_rsdp, memmap_problems, table_problems
from fwbuild.emulator.machine import Machine, Outcome
from fwbuild.firmware import layout

# What the firmware fills; all else must be the host's.
FILLED = frozenset("flags mem_lower mem_upper mmap_length mmap_addr".split())


def judge_multiboot(machine: Machine, outcome: Outcome) -> list[str]:
    """Each departure from the specification in words; none when all is well."""
    if outcome.kind != "handoff":
        return [f"the kernel was not entered: {outcome.kind} {outcome.detail}".strip()]
    problems = [*_registers(outcome)]
    try:
        problems += flat_segments(machine, outcome)
        handoff = read_multiboot_handoff(machine.read, outcome.registers["ebx"])
    except MemoryError as error:
        return [*problems, f"the GDT or the information points nowhere: {error}"]
    return [
        *problems,
        *_info(machine, handoff),
        *memmap_problems(machine, handoff.memmap, layout.BIOS.base),
        *table_problems(machine, handoff.memmap, find_rsdp(machine)),
        *_contents(machine, handoff),
        *_places(machine, handoff),
    ]


def _registers(outcome: Outcome) -> Iterator[str]:
    registers = outcome.registers
    if registers["eax"] != multiboot.LOADER_MAGIC:
        yield f"EAX is {registers['eax']:#x}, not the magic"
    if registers["cr0"] & (x86.Cr0.PE | x86.Cr0.PG) != x86.Cr0.PE:
        yield f"CR0 is {registers['cr0']:#x}: no protected mode without paging"
    for flag in (x86.Eflags.VM, x86.Eflags.IF):
        if registers["eflags"] & flag:
            yield f"EFLAGS.{flag.name} is set"


def _info(machine: Machine, handoff: MultibootHandoff) -> Iterator[str]:
    info = handoff.info
    host = INFO.parse(machine.fw_cfg.items[Key.INITRD_DATA].ljust(INFO.sizeof(), b"\0"))
    for field in INFO.subcons:
        if field.name not in FILLED and info[field.name] != host[field.name]:
            yield f"information: {field.name} is {info[field.name]}, the host's {host[field.name]}"
    wanted = host.flags | InfoFlag.MEMORY | InfoFlag.MMAP
    if info.flags != wanted:
        yield f"information: flags are {info.flags:#x}, not {wanted:#x}"
    ram = [(m.addr, m.size) for m in handoff.memmap if m.type == e820.Type.RAM]
    for name, start in (("mem_lower", 0), ("mem_upper", e820.EXTENDED)):
        kib = sum(size for address, size in ram if address == start) >> 10
        if info[name] != kib:
            yield f"information: {name} is {info[name]}, not {kib}"
    for entry in handoff.memmap:
        if entry.entry_size != multiboot.MMAP_ENTRY_SIZE:
            yield f"memory map: an entry of {entry.entry_size} bytes"


def _contents(machine: Machine, handoff: MultibootHandoff) -> Iterator[str]:
    items = machine.fw_cfg.items
    blob, base = items[Key.KERNEL_DATA], int.from_bytes(items[Key.KERNEL_ADDR], "little")
    if machine.read(base, len(blob)) != blob:
        yield "the kernel or a module is damaged"
    for number, (start, end, _) in enumerate(handoff.modules):
        if not base <= start <= end <= base + len(blob):
            yield f"module {number} lies outside what was loaded"


def _places(machine: Machine, handoff: MultibootHandoff) -> Iterator[str]:
    """What the firmware puts in lies in RAM, clear of the kernel."""
    info = handoff.info
    items = machine.fw_cfg.items
    low, size = (int.from_bytes(items[k], "little") for k in (Key.KERNEL_ADDR, Key.KERNEL_SIZE))
    ram = [(m.addr, m.addr + m.size) for m in handoff.memmap if m.type == e820.Type.RAM]
    areas = {
        "information": (handoff.address, handoff.address + INFO.sizeof()),
        "memory map": (info.mmap_addr, info.mmap_addr + info.mmap_length),
    }
    for name, (start, end) in areas.items():
        if not any(a <= start and end <= b for a, b in ram):
            yield f"the {name} at {start:#x} is not in RAM"
        if start < low + size and low < end:
            yield f"the {name} at {start:#x} lies in the kernel"
