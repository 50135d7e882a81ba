"""Holds the ACPI tables in guest memory against the host's loader script.

The script is done here once more, in Python, from the addresses that a guest finds; what comes
out must be what lies there. Source: QEMU, hw/acpi/bios-linker-loader.c; ACPI 6.5, 5.2.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from fwbuild.abi import acpi, e820
from fwbuild.abi.acpi import Command, Zone
from fwbuild.emulator.state import ReadMemory, State

Range = tuple[int, int]

ENTRIES = {
    Command.ALLOCATE: acpi.ALLOCATE,
    Command.ADD_POINTER: acpi.ADD_POINTER,
    Command.ADD_CHECKSUM: acpi.ADD_CHECKSUM,
    Command.WRITE_POINTER: acpi.WRITE_POINTER,
}
TABLE_MAX = 16 << 20  # bytes; QEMU's take some 100 KiB
TABLES_MAX = 256  # in the root table, where QEMU has some ten
SUMMED_MAX = 64 << 20  # bytes of them all, which may be the same


@dataclass
class Installed:
    """The script's result from the host's files: address and bytes of each that is allocated,
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
    """Do the script. `files` gives a host file's content, `addresses` where each is that a
    guest can find."""
    done = Installed()
    for e in entries(script):
        if e.command == Command.ALLOCATE:
            if e.file in addresses:
                done.address[e.file] = addresses[e.file]
            done.zone[e.file] = e.zone
            done.data[e.file] = bytearray(files(e.file))
        elif e.command == Command.ADD_POINTER:
            where = slice(e.offset, e.offset + e.size)
            value = int.from_bytes(done.data[e.dest][where], "little")
            value += done.address.get(e.source, 0)
            done.data[e.dest][where] = (value % (1 << 8 * e.size)).to_bytes(e.size, "little")
        elif e.command == Command.ADD_CHECKSUM:
            data = done.data[e.file]
            total = sum(data[e.start : e.start + e.length])
            data[e.offset] = (data[e.offset] - total) % 256
        elif e.command == Command.WRITE_POINTER and e.source in done.address:
            value = done.address[e.source] + e.source_offset
            done.written.append((e.dest, e.dest_offset, value.to_bytes(e.size, "little")))
    return done


def find_files(state: State, script: bytes, rsdp: int) -> dict[str, int]:
    """The address of each file that the guest can find: the RSDP's own, and whatever is led to
    from a file that is found, by the pointers that the script asks for."""
    read, file = state.read, state.file
    asked = list(entries(script))
    allocated = {e.file for e in asked if e.command == Command.ALLOCATE}
    found = {name: rsdp for name in allocated if file(name).startswith(acpi.RSDP_SIGNATURE)}
    pointers = [e for e in asked if e.command == Command.ADD_POINTER]
    more = True
    while more:
        more = False
        for e in pointers:
            if e.dest in found and e.source not in found:
                now = int.from_bytes(read(found[e.dest] + e.offset, e.size), "little")
                before = int.from_bytes(file(e.dest)[e.offset : e.offset + e.size], "little")
                found[e.source], more = (now - before) % (1 << 8 * e.size), True
    for e in asked if state.told else ():
        if e.command == Command.WRITE_POINTER and e.source not in found:
            told = file(e.dest)[e.dest_offset : e.dest_offset + e.size]
            found[e.source] = int.from_bytes(told, "little") - e.source_offset
    return found


def judge_tables(state: State, script: bytes, rsdp: int, kept: list[Range]) -> Iterator[str]:
    """Each fault of the tables; `kept` are the map's ranges that a firmware keeps
    from the kernel. A file that nothing leads
    to is out of the guest's sight, and of this judge's."""
    read, files = state.read, state.file
    done = install(script, files, find_files(state, script, rsdp))
    ranges = []
    for name, data in done.data.items():
        if name not in done.address:
            continue
        address = done.address[name]
        ranges.append((address, address + len(data)))
        segment = (e820.SYSTEM_ROM, e820.EXTENDED)
        areas = [segment] if done.zone[name] == Zone.F_SEGMENT else kept
        if not any(a <= address and address + len(data) <= b for a, b in areas):
            yield f"ACPI: {name} at {address:#x} is outside its zone"
        elif read(address, len(data)) != bytes(data):
            yield f"ACPI: {name} at {address:#x} is not what the script makes of it"
    ranges.sort()
    for (_, end), (start, _) in pairwise(ranges):
        if start < end:
            yield f"ACPI: files overlap at {start:#x}"
    for e in entries(script):
        if e.command == Command.ALLOCATE and done.address.get(e.file, 0) % e.align:
            yield f"ACPI: {e.file} is not aligned to {e.align}"
    for name, offset, pointer in done.written if state.told else ():
        if files(name)[offset : offset + len(pointer)] != pointer:
            yield f"ACPI: the host was not told {pointer.hex()} in {name}"
    yield from walk(read, rsdp)


def walk(read: ReadMemory, rsdp: int) -> Iterator[str]:
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
    summed = 0
    for at in pointers(table, address, size):
        found = read_table(read, at)
        summed += len(found)
        if summed > SUMMED_MAX:
            raise MemoryError(f"tables of more than {SUMMED_MAX >> 20} MiB at {address:#x}")
        if not found[:4].isalnum() or sum(found) % 256:
            yield f"ACPI: bad table at {at:#x}: {found[:4]!r}"


def pointers(table: bytes, address: int, size: int) -> list[int]:
    """The addresses of `size` bytes in the root table, which lies at an address. Raises MemoryError
    for more than a host has tables."""
    body = table[acpi.TABLE_HEADER.sizeof() :]
    if len(body) > TABLES_MAX * size:
        raise MemoryError(f"{len(body) // size} tables at {address:#x}")
    return [int.from_bytes(body[i : i + size], "little") for i in range(0, len(body), size)]


def read_table(read: ReadMemory, address: int) -> bytes:
    """A table, header and all. Raises MemoryError for one that is absurd, too."""
    header = acpi.TABLE_HEADER.parse(read(address, acpi.TABLE_HEADER.sizeof()))
    if header.length > TABLE_MAX:
        raise MemoryError(f"a table of {header.length} bytes at {address:#x}")
    return read(address, header.length)
