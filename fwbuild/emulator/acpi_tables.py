"""Holds the ACPI tables in guest memory against the host's loader script.

The script is done here once more, in Python, from the addresses that the firmware chose; what
comes out must be what the guest finds. Source: QEMU, hw/acpi/bios-linker-loader.c; ACPI 6.5, 5.2.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from fwbuild.abi import acpi
from fwbuild.abi.acpi import Command, Zone
from fwbuild.firmware import layout, work

Read = Callable[[int, int], bytes]
Range = tuple[int, int]

ENTRIES = {
    Command.ALLOCATE: acpi.ALLOCATE,
    Command.ADD_POINTER: acpi.ADD_POINTER,
    Command.ADD_CHECKSUM: acpi.ADD_CHECKSUM,
    Command.WRITE_POINTER: acpi.WRITE_POINTER,
}


@dataclass
class Installed:
    """What the script makes of the host's files: address and bytes of each that is allocated,
    and (file, offset, bytes) that WRITE_POINTER sends to the host."""

    address: dict[str, int] = field(default_factory=dict)
    zone: dict[str, int] = field(default_factory=dict)
    data: dict[str, bytearray] = field(default_factory=dict)
    written: list[tuple[str, int, bytes]] = field(default_factory=list)


def entries(script: bytes) -> Iterator[Any]:
    """The script's entries, padding left out."""
    for at in range(0, len(script), acpi.LOADER_ENTRY_SIZE):
        entry = script[at : at + acpi.LOADER_ENTRY_SIZE]
        command = int.from_bytes(entry[:4], "little")
        if command != Command.PADDING:
            yield ENTRIES[Command(command)].parse(entry)


def install(script: bytes, files: Callable[[str], bytes], addresses: dict[str, int]) -> Installed:
    """Do the script. `files` gives a host file's content, `addresses` where each is."""
    done = Installed()
    for e in entries(script):
        if e.command == Command.ALLOCATE:
            done.address[e.file], done.zone[e.file] = addresses[e.file], e.zone
            done.data[e.file] = bytearray(files(e.file))
        elif e.command == Command.ADD_POINTER:
            where = slice(e.offset, e.offset + e.size)
            value = int.from_bytes(done.data[e.dest][where], "little") + done.address[e.source]
            done.data[e.dest][where] = value.to_bytes(e.size, "little")
        elif e.command == Command.ADD_CHECKSUM:
            data = done.data[e.file]
            total = sum(data[e.start : e.start + e.length])
            data[e.offset] = (data[e.offset] - total) % 256
        else:
            value = done.address[e.source] + e.source_offset
            done.written.append((e.dest, e.dest_offset, value.to_bytes(e.size, "little")))
    return done


def chosen_addresses(read: Read, script: bytes) -> dict[str, int]:
    """Where the firmware put each file, by its notes in its own copy of the script."""
    base = layout.region("script").base
    size = work.ALLOCATED.sizeof()
    found = {}
    for at in range(0, len(script), acpi.LOADER_ENTRY_SIZE):
        if int.from_bytes(script[at : at + 4], "little") == Command.ALLOCATE:
            name = acpi.ALLOCATE.parse(script[at : at + acpi.LOADER_ENTRY_SIZE]).file
            found[name] = work.ALLOCATED.parse(read(base + at, size)).address
    return found


def judge_tables(
    read: Read,
    script: bytes,
    files: Callable[[str], bytes],
    rsdp: int,
    nvs: list[Range],
    *,
    told: bool,
) -> Iterator[str]:
    """What is wrong with the tables; `nvs` are the map's ranges of type 4, `told` is whether the
    host can be told where its files are (that takes DMA)."""
    done = install(script, files, chosen_addresses(read, script))
    ranges = []
    for name, data in done.data.items():
        address = done.address[name]
        ranges.append((address, address + len(data)))
        segment = layout.F_SEGMENT
        areas = [(segment.base, segment.end)] if done.zone[name] == Zone.F_SEGMENT else nvs
        if not any(a <= address and address + len(data) <= b for a, b in areas):
            yield f"ACPI: {name} at {address:#x} is outside its zone"
        elif read(address, len(data)) != bytes(data):
            yield f"ACPI: {name} at {address:#x} is not what the script makes of it"
    ranges.sort()
    for (_, end), (start, _) in pairwise(ranges):
        if start < end:
            yield f"ACPI: files overlap at {start:#x}"
    for e in entries(script):
        if e.command == Command.ALLOCATE and done.address[e.file] % e.align:
            yield f"ACPI: {e.file} is not aligned to {e.align}"
    for name, offset, pointer in done.written if told else ():
        if files(name)[offset : offset + len(pointer)] != pointer:
            yield f"ACPI: the host was not told {pointer.hex()} in {name}"
    yield from walk(read, rsdp)


def walk(read: Read, rsdp: int) -> Iterator[str]:
    """Follow the tables as a kernel does: signatures, lengths, checksums."""
    root = acpi.RSDP.parse(read(rsdp, acpi.RSDP.sizeof()))
    if root.signature != acpi.RSDP_SIGNATURE or sum(read(rsdp, acpi.RSDP.sizeof())) % 256:
        yield f"ACPI: no RSDP at {rsdp:#x}"
        return
    address, size = root.rsdt_address, 4
    if root.revision >= 2:
        more = acpi.RSDP_XSDT.parse(read(rsdp + acpi.RSDP.sizeof(), acpi.RSDP_XSDT.sizeof()))
        if sum(read(rsdp, more.length)) % 256:
            yield "ACPI: bad extended checksum of the RSDP"
        if more.xsdt_address:
            address, size = more.xsdt_address, 8
    table = read_table(read, address)
    if sum(table) % 256:
        yield f"ACPI: bad checksum of the root table at {address:#x}"
    body = table[acpi.TABLE_HEADER.sizeof() :]
    for i in range(0, len(body), size):
        at = int.from_bytes(body[i : i + size], "little")
        found = read_table(read, at)
        if not found[:4].isalnum() or sum(found) % 256:
            yield f"ACPI: bad table at {at:#x}: {found[:4]!r}"


def read_table(read: Read, address: int) -> bytes:
    """A table, header and all."""
    header = acpi.TABLE_HEADER.parse(read(address, acpi.TABLE_HEADER.sizeof()))
    return read(address, header.length)
