"""Holds the state at a kernel's PVH entry against the ABI and lists each departure.

Source: Xen, docs/misc/pvh.pandoc; the map's rules are ACPI 6.5, 15 and Linux's
arch/x86/platform/pvh/enlighten.c.
"""

from collections.abc import Iterator
from itertools import pairwise

from fwbuild.abi import e820, pvh, x86
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator.handoff import Handoff, read_handoff, read_string
from fwbuild.emulator.judge_platform import memmap_problems, nvs_ranges, table_problems
from fwbuild.emulator.machine import Machine, Outcome
from fwbuild.emulator.memory import PAGE
from fwbuild.firmware import file_names, layout

# Flags nibble and type as the ABI wants the segments: flat, 32-bit, 4 KiB granularity.
FLAT_LIMIT = 0xFFFFF
# Type bits that matter: code readable, data writable. The accessed bit may be either.
CODE_TYPE, DATA_TYPE = x86.Access.CODE & ~1, x86.Access.DATA & ~1


def judge(machine: Machine, outcome: Outcome) -> list[str]:
    """Each departure from the ABI in words; none when all is well."""
    if outcome.kind != "handoff":
        return [f"the kernel was not entered: {outcome.kind} {outcome.detail}".strip()]
    problems = [*_registers(outcome)]
    try:
        problems += [*flat_segments(machine, outcome), *_task_register(machine, outcome)]
        handoff = read_handoff(machine.read, outcome.registers["ebx"])
    except MemoryError as error:
        return [*problems, f"the GDT or hvm_start_info points nowhere: {error}"]
    return [
        *problems,
        *_start_info(handoff),
        *memmap_problems(machine, handoff.memmap),
        *_contents(machine, handoff),
        *_places(machine, handoff),
        *table_problems(machine, handoff.memmap, handoff.start_info.rsdp_paddr),
    ]


def _registers(outcome: Outcome) -> Iterator[str]:
    registers = outcome.registers
    if registers["cr0"] != x86.Cr0.PE | x86.Cr0.ET:
        yield f"CR0 is {registers['cr0']:#x}, not PE alone"
    if registers["cr4"]:
        yield f"CR4 is {registers['cr4']:#x}, not 0"
    for flag in (x86.Eflags.VM, x86.Eflags.IF, x86.Eflags.TF):
        if registers["eflags"] & flag:
            yield f"EFLAGS.{flag.name} is set"


def _descriptor(machine: Machine, outcome: Outcome, selector: int) -> tuple[int, int, int, int]:
    """(base, limit field, access, flags) of what the GDT holds for a selector."""
    base, limit = outcome.gdtr
    size = x86.DESCRIPTOR.sizeof()
    if not 0 < selector <= limit - size + 1:
        return 0, 0, 0, 0
    d = x86.DESCRIPTOR.parse(machine.read(base + (selector & ~7), size))
    high = d.limit_flags_base_high
    return (
        d.base_low | (d.base_mid_access & 0xFF) << 16 | (high >> 8) << 24,
        d.limit_low | (high & 0xF) << 16,
        d.base_mid_access >> 8,
        high >> 4 & 0xF,
    )


def flat_segments(machine: Machine, outcome: Outcome) -> Iterator[str]:
    """CS, DS, ES and SS as every 32-bit protocol wants them."""
    flat = x86.FLAGS_32 | x86.FLAGS_4K
    for name, kind in (("cs", CODE_TYPE), ("ds", DATA_TYPE), ("es", DATA_TYPE), ("ss", DATA_TYPE)):
        base, limit, access, flags = _descriptor(machine, outcome, outcome.registers[name])
        if (base, limit, access & ~1, flags) != (0, FLAT_LIMIT, kind, flat):
            yield f"{name.upper()} is not flat: base {base:#x} limit {limit:#x} {access:#x}"


def _task_register(machine: Machine, outcome: Outcome) -> Iterator[str]:
    if outcome.tr == 0:
        yield "TR was never loaded"
        return
    base, limit, access, flags = _descriptor(machine, outcome, outcome.tr)
    kinds = (x86.Access.TSS32, x86.Access.TSS32_BUSY)
    if (base, limit, flags) != (0, x86.TSS32_LIMIT, 0) or access not in kinds:
        yield f"TR is no 32-bit TSS of base 0, limit 0x67: {base:#x} {limit:#x} {access:#x}"


def _start_info(handoff: Handoff) -> Iterator[str]:
    info = handoff.start_info
    wanted = {
        "magic": pvh.START_INFO_MAGIC,
        "version": pvh.START_INFO_VERSION,
        "flags": 0,
        "reserved": 0,
        "memmap_entries": len(handoff.memmap),
        "nr_modules": len(handoff.modules),
    }
    for name, value in wanted.items():
        if info[name] != value:
            yield f"start_info.{name} is {info[name]:#x}, not {value:#x}"
    if not info.nr_modules and info.modlist_paddr:
        yield "start_info.modlist_paddr is set without modules"
    for i, module in enumerate(handoff.modules):
        if module.reserved:
            yield f"module {i}: reserved is {module.reserved:#x}"
        if not module.cmdline_paddr:
            yield f"module {i}: no command line, where FreeBSD reads a string"


def _contents(machine: Machine, handoff: Handoff) -> Iterator[str]:
    items = machine.fw_cfg.items
    cmdline = items.get(Key.CMDLINE_DATA, b"").rstrip(b"\0")
    if handoff.cmdline != cmdline:
        yield f"the command line is {handoff.cmdline!r}, not {cmdline!r}"
    initrd = items.get(Key.INITRD_DATA, b"")
    files = list(_module_files(machine))
    if len(handoff.modules) != bool(initrd) + len(files):
        yield f"{len(handoff.modules)} modules"
    for i, (module, data) in enumerate(zip(handoff.modules[bool(initrd) :], files, strict=False)):
        if module.size != len(data) or machine.read(module.paddr, len(data)) != data:
            yield f"module file {i + 1} is damaged"
    for i, module in enumerate(handoff.modules):
        try:
            text = read_string(machine.read, module.cmdline_paddr)
        except MemoryError:
            text = b"?"
        if text:
            yield f"module {i}: its command line is not empty"
    if initrd:
        address = int.from_bytes(items[Key.INITRD_ADDR], "little")
        first = handoff.modules[0] if handoff.modules else None
        if first is None or (first.paddr, first.size) != (address, len(initrd)):
            yield "the first module is not the initrd"
        elif machine.read(address, len(initrd)) != initrd:
            yield "the initrd's contents are damaged"
    for address, data in machine.loaded.memory if machine.loaded else ():
        if machine.read(address, len(data)) != data:
            yield f"the kernel's segment at {address:#x} is damaged"


def _segments(machine: Machine) -> list[tuple[int, int]]:
    """[address, end) of the kernel's segments."""
    return [(a, a + len(data)) for a, data in machine.loaded.memory] if machine.loaded else []


def _module_files(machine: Machine) -> Iterator[bytes]:
    """The further modules that the user numbered, up to the first number that is missing."""
    for digit in "123456789":
        data = machine.fw_cfg.file(file_names.MODULE[:-1] + digit)
        if not data:
            return
        yield data


def _places(machine: Machine, handoff: Handoff) -> Iterator[str]:
    """Everything handed over lies in RAM that the map shows as RAM, below 1 GiB."""
    info = handoff.start_info
    areas = {
        "start_info": (handoff.address, pvh.START_INFO.sizeof()),
        "memory map": (info.memmap_paddr, len(handoff.memmap) * pvh.MEMMAP_ENTRY.sizeof()),
        "command line": (info.cmdline_paddr, len(handoff.cmdline) + 1),
        "module list": (info.modlist_paddr, len(handoff.modules) * pvh.MODLIST_ENTRY.sizeof()),
    }
    ram = [(m.addr, m.addr + m.size) for m in handoff.memmap if m.type == e820.Type.RAM]
    for name, (address, size) in areas.items():
        inside = any(a <= address and address + size <= b for a, b in ram)
        if size and (not inside or address + size > pvh.HANDOFF_LIMIT):
            yield f"the {name} at {address:#x} is not in RAM below 1 GiB"
    allowed = [*ram, *nvs_ranges(handoff.memmap), (layout.F_SEGMENT.base, layout.F_SEGMENT.end)]
    spans = [(m.paddr, m.paddr + m.size) for m in handoff.modules]
    for low, high in pairwise(sorted([*spans, *_segments(machine)])):
        if high[0] < low[1]:
            yield f"a module overlaps another or the kernel at {high[0]:#x}"
    outside = [p for p in machine.writes if not any(a <= p * PAGE < b for a, b in allowed)]
    if outside:
        yield f"memory outside the declared areas was written: {min(outside) * PAGE:#x}"
