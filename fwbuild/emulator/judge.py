"""Holds the state at a kernel's PVH entry against the ABI and lists each departure.

Source: Xen, docs/misc/pvh.pandoc; the map's rules are ACPI 6.5, 15 and Linux's
arch/x86/platform/pvh/enlighten.c.
"""

from collections.abc import Iterator
from itertools import pairwise

from fwbuild import layout
from fwbuild.abi import acpi, chipset, e820, pvh, smbios, x86
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator.acpi_tables import judge_tables
from fwbuild.emulator.handoff import Handoff, read_handoff, read_string
from fwbuild.emulator.machine import PAGE, Machine, Outcome
from fwbuild.emulator.smbios_tables import judge_smbios

Span = tuple[int, int, int]  # address, end, e820 type

# Flags nibble and type as the ABI wants the segments: flat, 32-bit, 4 KiB granularity.
FLAT_LIMIT = 0xFFFFF
RESERVED = ((e820.EBDA, e820.VGA), (e820.SYSTEM_ROM, e820.EXTENDED))  # the firmware's own
# Type bits that matter: code readable, data writable. The accessed bit may be either.
CODE_TYPE, DATA_TYPE = x86.Access.CODE & ~1, x86.Access.DATA & ~1


def judge(machine: Machine, outcome: Outcome) -> list[str]:
    """Each departure from the ABI in words; none when all is well."""
    if outcome.kind != "handoff":
        return [f"the kernel was not entered: {outcome.kind} {outcome.detail}".strip()]
    problems = [*_registers(outcome)]
    try:
        problems += _segments(machine, outcome)
        handoff = read_handoff(machine.read, outcome.registers["ebx"])
    except MemoryError as error:
        return [*problems, f"the GDT or hvm_start_info points nowhere: {error}"]
    return [
        *problems,
        *_start_info(machine, handoff),
        *_memmap(machine, handoff),
        *_contents(machine, handoff),
        *_places(machine, handoff),
        *_tables(machine, handoff),
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


def _segments(machine: Machine, outcome: Outcome) -> Iterator[str]:
    base, limit = outcome.gdtr
    size = x86.DESCRIPTOR.sizeof()

    def descriptor(selector: int) -> tuple[int, int, int, int]:
        """(base, limit field, access, flags) of what the GDT holds for a selector."""
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

    flat = x86.FLAGS_32 | x86.FLAGS_4K
    for name, kind in (("cs", CODE_TYPE), ("ds", DATA_TYPE), ("es", DATA_TYPE), ("ss", DATA_TYPE)):
        d_base, d_limit, access, flags = descriptor(outcome.registers[name])
        if (d_base, d_limit, access & ~1, flags) != (0, FLAT_LIMIT, kind, flat):
            yield f"{name.upper()} is not flat: base {d_base:#x} limit {d_limit:#x} {access:#x}"
    if outcome.tr == 0:
        yield "TR was never loaded"
        return
    d_base, d_limit, access, flags = descriptor(outcome.tr)
    kinds = (x86.Access.TSS32, x86.Access.TSS32_BUSY)
    if (d_base, d_limit, flags) != (0, x86.TSS32_LIMIT, 0) or access not in kinds:
        yield f"TR is no 32-bit TSS of base 0, limit 0x67: {d_base:#x} {d_limit:#x} {access:#x}"


def _start_info(machine: Machine, handoff: Handoff) -> Iterator[str]:
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
    if bool(info.rsdp_paddr) != bool(machine.recording.file(acpi.LOADER_FILE)):
        yield f"start_info.rsdp_paddr is {info.rsdp_paddr:#x}"
    if not info.nr_modules and info.modlist_paddr:
        yield "start_info.modlist_paddr is set without modules"
    for i, module in enumerate(handoff.modules):
        if module.reserved:
            yield f"module {i}: reserved is {module.reserved:#x}"
        if not module.cmdline_paddr:
            yield f"module {i}: no command line, where FreeBSD reads a string"


def _memmap(machine: Machine, handoff: Handoff) -> Iterator[str]:
    memmap = handoff.memmap
    if not 0 < len(memmap) <= pvh.MEMMAP_ENTRIES_MAX:
        yield f"{len(memmap)} memory map entries"
    for entry in memmap:
        if not entry.size or not entry.type or entry.reserved or entry.addr + entry.size > 1 << 64:
            yield f"memory map: bad entry at {entry.addr:#x}"
    for a, b in pairwise(memmap):
        if b.addr < a.addr + a.size:
            yield f"memory map: {b.addr:#x} overlaps or is out of order"
    host = list(_host_map(machine))
    ours = [(m.addr, m.addr + m.size, m.type) for m in memmap]
    taken = [m for m in ours if m[2] == e820.Type.NVS and m not in host]
    ram = sorted(m for m in ours if m[2] == e820.Type.RAM)
    wanted = sorted(_without([m for m in host if m[2] == e820.Type.RAM], taken))
    if ram != wanted:
        yield f"memory map: RAM is {ram}, the host's is {wanted}"
    rest = sorted(m for m in ours if m[2] != e820.Type.RAM and m not in taken)
    wanted = sorted(m for m in host if m[2] != e820.Type.RAM)
    if rest != wanted:
        yield f"memory map: reserved ranges are {rest}, not {wanted}"


def _host_map(machine: Machine) -> Iterator[Span]:
    """The map that the host's etc/e820 and the chipset make, before anything is taken."""
    for e in machine.recording.memmap():
        end = e.addr + e.size
        if e.type == e820.Type.RAM and e.addr < e820.EXTENDED:
            yield e.addr, min(end, e820.EBDA), e.type
            yield e820.EXTENDED, end, e.type
        else:
            yield e.addr, end, e.type
    for a, b in RESERVED:
        yield a, b, e820.Type.RESERVED
    if machine.recording.machine.startswith(("q35", "pc-q35")):
        end = chipset.ECAM_BASE + chipset.ECAM_SIZE
        yield chipset.ECAM_BASE, end, e820.Type.RESERVED


def _without(ram: list[Span], taken: list[Span]) -> list[Span]:
    """RAM less what was taken out of it."""
    for a, b, _ in taken:
        ram = [
            (start, end, kind)
            for low, high, kind in ram
            for start, end in ((low, min(high, a)), (max(low, b), high))
            if start < end
        ] if any(low < b and a < high for low, high, _ in ram) else ram  # fmt: skip
    return ram


def _contents(machine: Machine, handoff: Handoff) -> Iterator[str]:
    items = machine.fw_cfg.items
    cmdline = items.get(Key.CMDLINE_DATA, b"").rstrip(b"\0")
    if handoff.cmdline != cmdline:
        yield f"the command line is {handoff.cmdline!r}, not {cmdline!r}"
    initrd = items.get(Key.INITRD_DATA, b"")
    if len(handoff.modules) != bool(initrd):
        yield f"{len(handoff.modules)} modules"
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
    allowed = [*ram, *_nvs(handoff), (layout.F_SEGMENT.base, layout.F_SEGMENT.end)]
    outside = [p for p in machine.writes if not any(a <= p * PAGE < b for a, b in allowed)]
    if outside:
        yield f"memory outside the declared areas was written: {min(outside) * PAGE:#x}"


def _nvs(handoff: Handoff) -> list[tuple[int, int]]:
    return [(m.addr, m.addr + m.size) for m in handoff.memmap if m.type == e820.Type.NVS]


def _tables(machine: Machine, handoff: Handoff) -> Iterator[str]:
    """ACPI and SMBIOS tables are the host's, patched."""
    item = machine.fw_cfg.file
    script, anchor = item(acpi.LOADER_FILE), item(smbios.ANCHOR_FILE)
    try:
        if script:
            rsdp = handoff.start_info.rsdp_paddr
            yield from judge_tables(machine.read, script, item, rsdp, _nvs(handoff))
        if anchor:
            yield from judge_smbios(machine.read, anchor, item(smbios.TABLES_FILE))
    except MemoryError as error:
        yield f"a table points nowhere: {error}"
