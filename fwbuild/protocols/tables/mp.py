"""Reads the MP table as a kernel does, and holds it against the host.

Source: Intel MultiProcessor Specification 1.4, chapter 4.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fwbuild.abi import e820, mptable
from fwbuild.abi.mptable import Entry
from fwbuild.emulator.state import ReadMemory

STRUCTURES: dict[int, Any] = {
    Entry.PROCESSOR: mptable.PROCESSOR,
    Entry.BUS: mptable.BUS,
    Entry.IOAPIC: mptable.IOAPIC,
    Entry.INTERRUPT: mptable.INTERRUPT,
    Entry.LOCAL_INTERRUPT: mptable.INTERRUPT,
}


@dataclass
class MpTable:
    """The pointer's and the table's bytes, and the entries, parsed."""

    pointer: bytes
    table: bytes
    entries: list[Any] = field(default_factory=list)

    def of(self, kind: Entry) -> list[Any]:
        """The entries of a type."""
        return [e for e in self.entries if e.type == kind]


def read_mptable(read: ReadMemory) -> MpTable | None:
    """The table that the F segment points at, None without one. A pointer whose checksum is bad is
    none: a firmware's own text may have the signature."""
    segment = read(e820.SYSTEM_ROM, e820.EXTENDED - e820.SYSTEM_ROM)
    size = mptable.POINTER.sizeof()
    places = range(0, len(segment), mptable.POINTER_ALIGN)
    named = (segment[at : at + size] for at in places)
    pointers = (p for p in named if p.startswith(mptable.POINTER_SIGNATURE) and not sum(p) % 256)
    pointer = next(pointers, None)
    if pointer is None:
        return None
    at = mptable.POINTER.parse(pointer).address
    header = mptable.HEADER.parse(read(at, mptable.HEADER.sizeof()))
    found = MpTable(pointer, read(at, header.length))
    at = mptable.HEADER.sizeof()
    while at < len(found.table):
        structure = STRUCTURES.get(found.table[at])
        if structure is None or at + structure.sizeof() > len(found.table):
            break  # which the number of entries shows
        found.entries.append(structure.parse(found.table[at:]))
        at += structure.sizeof()
    return found


def judge_mptable(found: MpTable, cpus: int) -> Iterator[str]:
    """Each fault of the table of a guest with so many CPUs."""
    header = mptable.HEADER.parse(found.table)
    if sum(found.pointer) % 256 or sum(found.table) % 256:
        yield "MP table: bad checksum"
    if header.signature != mptable.HEADER_SIGNATURE or header.entries != len(found.entries):
        yield f"MP table: {header.entries} entries announced, {len(found.entries)} there"
    processors = found.of(Entry.PROCESSOR)
    ids = [p.apic_id for p in processors]
    if len(ids) != cpus or len(set(ids)) != cpus:
        yield f"MP table: processors are {ids}, the host has {cpus}"
    flags = [p.flags for p in processors]
    if flags != ([3] + [1] * (cpus - 1))[:cpus]:
        yield f"MP table: processor flags are {flags}"
    if odd := [v for p in processors if (v := p.apic_version) != mptable.APIC_VERSION]:
        yield f"MP table: local APICs of versions {odd}, QEMU's are of {mptable.APIC_VERSION:#x}"
    for interrupt in found.of(Entry.INTERRUPT):
        if interrupt.bus not in {b.id for b in found.of(Entry.BUS)} or interrupt.pin > 23:
            yield f"MP table: odd interrupt {dict(interrupt)}"
