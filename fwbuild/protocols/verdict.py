"""Everything that there is to tell of a guest at its kernel's entry."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fwbuild import protocols
from fwbuild.abi import e820
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator.state import End, Hidden, State
from fwbuild.firmware import layout
from fwbuild.protocols import Departure, Handoff, Protocol
from fwbuild.protocols.checks import descriptor, number
from fwbuild.protocols.tables import find_rsdp
from fwbuild.protocols.tables.listing import Table, listing

SEGMENTS = ("cs", "ds", "es", "ss")
PAGES = 12  # a limit with granularity counts pages of 1 << 12 bytes


Area = tuple[str, int, int]  # name, address, bytes


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The state at a kernel's entry, and how it compares with the protocol.

    handoff:    the information that the kernel is handed; None where it was not entered, and
                where a pointer in it leads nowhere.
    departures: each departure from the protocol; none when all is well.
    segments:   base, limit and access byte by the name of the segment register.
    tables:     the tables that the kernel finds.
    areas:      (name, address, bytes) of the kernel and of all that is handed over.
    firmware:   the same of what fwbuild's firmware may have used, its image included; nothing of
                another firmware, whose areas are not known.
    """

    protocol: Protocol
    registers: dict[str, int]
    segments: dict[str, Hidden]
    handoff: Handoff | None
    departures: list[Departure]
    tables: list[Table]
    areas: list[Area]
    firmware: list[Area]

    def plain(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "protocol": self.protocol.name,
            "registers": self.registers,
            "segments": {name: hidden._asdict() for name, hidden in self.segments.items()},
            "handoff": self.handoff.plain() if self.handoff else None,
            "areas": _plain(self.areas),
            "firmware": _plain(self.firmware),
            "tables": [vars(table) for table in self.tables],
            "problems": [departure.plain() for departure in self.departures],
        }


def verdict(state: State) -> Verdict:
    """The verdict on a state, read while its memory can be read."""
    entered = state.end == End.HANDOFF
    handoff = None
    if entered:
        with suppress(MemoryError):  # the judge says so
            handoff = protocols.read(state)
    return Verdict(
        protocol=protocols.BY_NAME[state.protocol],
        registers=dict(state.registers) | {"tr": state.tr},
        segments=_segments(state) if entered else {},
        handoff=handoff,
        departures=protocols.judge(state) if state.end != End.EXIT else [],
        tables=_tables(state, handoff) if entered else [],
        areas=_areas(state, handoff) if handoff else [],
        firmware=_firmware(handoff) if handoff and state.own else [],
    )


def _plain(areas: list[Area]) -> list[dict[str, Any]]:
    return [{"name": name, "address": address, "size": size} for name, address, size in areas]


def _segments(state: State) -> dict[str, Hidden]:
    """Hidden parts as the CPU has them, else as the GDT has them."""
    found = {}
    for name in SEGMENTS:
        if name in state.hidden:
            found[name] = state.hidden[name]
            continue
        try:
            base, limit, access, flags = descriptor(state, state.registers[name])
        except MemoryError:
            continue
        grain = PAGES if flags & 8 else 0
        found[name] = Hidden(base, (limit + 1 << grain) - 1, access)
    return found


def _tables(state: State, handoff: Handoff | None) -> list[Table]:
    try:
        return listing(state.read, (handoff and handoff.rsdp) or find_rsdp(state))
    except MemoryError:
        return []


def _areas(state: State, handoff: Handoff) -> list[Area]:
    if state.segments:
        low = min(placed.address for placed in state.segments)
        high = max(placed.end for placed in state.segments)
        kernel = ("kernel", low, high - low)
    else:
        kernel = ("kernel", number(state, Key.KERNEL_ADDR), number(state, Key.KERNEL_SIZE))
    named = [kernel, *((name, *area) for name, area in handoff.areas().items())]
    return sorted((area for area in named if area[2]), key=lambda area: area[1])


def _firmware(handoff: Handoff) -> list[Area]:
    """The BIOS calls are there where the map keeps them from the kernel."""
    free = any(
        entry.type == e820.Type.RAM and entry.addr <= layout.BIOS.base < entry.addr + entry.size
        for entry in handoff.memmap
    )
    regions = [r for r in layout.REGIONS if not (free and r is layout.BIOS)]
    return [(r.name, r.base, r.size) for r in regions]
