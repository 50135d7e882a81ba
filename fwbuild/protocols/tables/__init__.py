"""Checks of what every boot protocol hands over: memory map, ACPI, SMBIOS and MP tables.

Source: ACPI 6.5, 15 (the map's rules).
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from fwbuild.abi import bios, chipset, e820, pvh
from fwbuild.abi.acpi import RSDP_SIGNATURE
from fwbuild.emulator.state import State
from fwbuild.firmware import file_names
from fwbuild.protocols.departure import Departure, by
from fwbuild.protocols.tables.acpi import judge_tables
from fwbuild.protocols.tables.mp import judge_mptable, read_mptable
from fwbuild.protocols.tables.smbios import judge_smbios

Span = tuple[int, int, int]  # address, end, e820 type

MAP_SOURCE = "ACPI 6.5, 15; QEMU, fw_cfg's etc/e820"
ACPI_SOURCE = "ACPI 6.5, 5.2; QEMU, hw/acpi/bios-linker-loader.c"
MP_SOURCE = "Intel MultiProcessor Specification 1.4, 4"
SMBIOS_SOURCE = "DMTF DSP0134 (SMBIOS 3.6), 5.2 and 6.1"


def memmap_problems(
    state: State, memmap: Sequence[Any], low_end: int | None = None
) -> Iterator[Departure]:
    """Each fault of a map of entries that have addr, size and type. Conventional memory
    ends at `low_end`, or where a firmware with a BIOS lets it end."""
    return by(MAP_SOURCE, _memmap_problems(state, memmap, low_end))


def _memmap_problems(state: State, memmap: Sequence[Any], low_end: int | None) -> Iterator[str]:
    if low_end is None:
        low_end = next((m.size for m in memmap if m.addr == 0), 0)
        if not bios.BASE_MEMORY_MIN <= low_end <= e820.EBDA:
            yield f"memory map: conventional memory ends at {low_end:#x}"
    if not 0 < len(memmap) <= pvh.MEMMAP_ENTRIES_MAX:
        yield f"{len(memmap)} memory map entries"
    for entry in memmap:
        odd = entry.get("reserved", 0) or entry.addr + entry.size > 1 << 64
        if not entry.size or not entry.type or odd:
            yield f"memory map: bad entry at {entry.addr:#x}"
    for a, b in pairwise(memmap):
        if b.addr < a.addr + a.size:
            yield f"memory map: {b.addr:#x} overlaps or is out of order"
    host = list(_host_map(state, low_end))
    ours = [(m.addr, m.addr + m.size, m.type) for m in memmap]
    taken = [m for m in ours if m[2] in _kept(state) and m not in host]
    ram = sorted(m for m in ours if m[2] == e820.Type.RAM)
    wanted = sorted(_without([m for m in host if m[2] == e820.Type.RAM], taken))
    if ram != wanted:
        yield f"memory map: RAM is {_text(ram)}; the host's is {_text(wanted)}"
    rest = sorted(m for m in ours if m[2] != e820.Type.RAM and m not in taken)
    wanted = sorted(m for m in host if m[2] != e820.Type.RAM)
    if state.own and rest != wanted:
        yield f"memory map: reserved ranges are {_text(rest)}; not {_text(wanted)}"
    spans = [(m.addr, m.addr + m.size) for m in memmap if m.type != e820.Type.RAM]
    for start, end, _ in () if state.own else wanted:
        if not any(a <= start and end <= b for a, b in spans):
            yield f"memory map: the host's reserved range {start:#x} to {end - 1:#x} is not in it"


def _text(spans: Sequence[Span]) -> str:
    """Ranges as a reader takes them in."""
    words = [
        (f"{a:#x}-{b - 1:#x}" if a < b else f"an empty one at {a:#x}") + f" of type {int(kind)}"
        for a, b, kind in spans
    ]
    return ", ".join(words) or "none"


def _kept(state: State) -> tuple[e820.Type, ...]:
    """The types by which the firmware keeps RAM from the kernel."""
    return (e820.Type.NVS,) if state.own else (e820.Type.RESERVED, e820.Type.ACPI, e820.Type.NVS)


def _host_map(state: State, low_end: int) -> Iterator[Span]:
    """The map that the host's etc/e820 and the chipset make, before anything is taken."""
    for e in filter(lambda entry: entry.size, state.host.memmap()):
        end = e.addr + e.size
        if e.type == e820.Type.RAM and e.addr < e820.EXTENDED:
            yield e.addr, min(end, low_end), e.type
            yield e820.EXTENDED, end, e.type
        else:
            yield e.addr, end, e.type
    yield low_end, e820.VGA, e820.Type.RESERVED
    yield e820.SYSTEM_ROM, e820.EXTENDED, e820.Type.RESERVED
    family = state.host.family
    if family.config_ports and family.ecam is not None:
        yield family.ecam, family.ecam + chipset.ECAM_SIZE, e820.Type.RESERVED


def _without(ram: list[Span], taken: list[Span]) -> list[Span]:
    """RAM less what was taken out of it."""
    for a, b, _ in taken:
        ram = (
            [
                (start, end, kind)
                for low, high, kind in ram
                for start, end in ((low, min(high, a)), (max(low, b), high))
                if start < end
            ]
            if any(low < b and a < high for low, high, _ in ram)
            else ram
        )
    return ram


def ranges_of(memmap: Sequence[Any], *types: e820.Type) -> list[tuple[int, int]]:
    """[address, end) of each range of some types."""
    return [(m.addr, m.addr + m.size) for m in memmap if m.type in types]


def find_rsdp(state: State) -> int:
    """The RSDP's address, found by a search of the F segment on 16-byte boundaries; 0 if it is
    not there."""
    segment = state.read(e820.SYSTEM_ROM, e820.EXTENDED - e820.SYSTEM_ROM)
    found = (i for i in range(0, len(segment), 16) if segment.startswith(RSDP_SIGNATURE, i))
    return next((e820.SYSTEM_ROM + i for i in found), 0)


def table_problems(state: State, memmap: Sequence[Any], rsdp: int) -> Iterator[Departure]:
    """Each fault of ACPI and SMBIOS tables: they are the host's, patched. `rsdp` is what
    the kernel was told, 0 for nothing."""
    item = state.file
    script, anchor = item(file_names.TABLE_LOADER), item(file_names.SMBIOS_ANCHOR)
    if bool(rsdp) != bool(script):
        yield Departure(f"the RSDP is said to be at {rsdp:#x}", ACPI_SOURCE)
    kept = ranges_of(memmap, *_kept(state))
    if not memmap:  # another BIOS tells its map by a call, so where it keeps RAM is not known
        kept = [(0, e820.FOUR_GIB)]
    try:
        if script and rsdp:
            yield from by(ACPI_SOURCE, judge_tables(state, script, rsdp, kept))
        if not script and (found := read_mptable(state.read)):
            yield from by(MP_SOURCE, judge_mptable(found, state.host.smp))
        if anchor:
            tables = item(file_names.SMBIOS_TABLES)
            yield from by(SMBIOS_SOURCE, judge_smbios(state.read, anchor, tables))
    except MemoryError as error:
        yield Departure(f"a table points nowhere: {error}", ACPI_SOURCE)
