"""Holds the SMBIOS tables in guest memory against the host's.

Source: DMTF DSP0134 (SMBIOS 3.6), 5.2 and 6.1.
"""

from collections.abc import Iterator
from typing import Any

from fwbuild.abi import e820, offsets, smbios
from fwbuild.emulator.state import ReadMemory
from fwbuild.firmware import smbios_data

ANCHORS = {smbios.ANCHOR_21: smbios.ENTRY_21, smbios.ANCHOR_30: smbios.ENTRY_30}


def entry_point(read: ReadMemory) -> int | None:
    """Address of the entry point, found as a kernel does, on a 16-byte boundary and with a good
    checksum: a firmware's own code may have the anchor."""
    segment = read(e820.SYSTEM_ROM, e820.EXTENDED - e820.SYSTEM_ROM)
    for offset in range(0, len(segment), smbios.ENTRY_ALIGN):
        rest = segment[offset : offset + smbios.ENTRY_21.sizeof()]
        for anchor, entry in ANCHORS.items():
            if rest.startswith(anchor) and not sum(rest[: entry.sizeof()]) % 256:
                return e820.SYSTEM_ROM + offset
    return None


def type_of(anchor: bytes) -> Any:
    """The structure of an entry point that starts with `anchor`."""
    return smbios.ENTRY_30 if anchor.startswith(smbios.ANCHOR_30) else smbios.ENTRY_21


def pointed_at(read: ReadMemory, address: int, anchor: bytes) -> tuple[Any, bytes]:
    """The entry point at an address, and the structures that it points at; its form is that of a
    file that starts with `anchor`."""
    entry = type_of(anchor)
    found = entry.parse(read(address, entry.sizeof()))
    is_30 = entry is smbios.ENTRY_30
    return found, read(found.table_address, found.table_max_size if is_30 else found.table_length)


def structures(data: bytes) -> Iterator[bytes]:
    """Each structure, its strings with it."""
    at = 0
    while at + smbios.HEADER.sizeof() <= len(data):
        end = data.index(b"\0\0", at + data[at + 1]) + 2
        yield data[at:end]
        at = end


def has_bios(tables: bytes) -> bool:
    """Whether a structure of type 0, on the BIOS, is among them."""
    return any(s[0] == smbios.TYPE_BIOS for s in structures(tables))


def judge_smbios(read: ReadMemory, anchor: bytes, tables: bytes) -> Iterator[str]:
    """Each fault of the tables that the guest finds; `anchor` and `tables` are the host's files."""
    address = entry_point(read)
    if address is None:
        yield "SMBIOS: no entry point with a good checksum in the F segment"
        return
    entry = read(address, len(anchor))
    found, data = pointed_at(read, address, anchor)
    own = data.removesuffix(tables)
    host = type_of(anchor).parse(anchor)
    if found.length != host.length:
        yield f"SMBIOS: an entry point of {found.length} bytes, the host's has {host.length}"
    if not anchor.startswith(smbios.ANCHOR_30):
        if sum(entry[offsets(smbios.ENTRY_21)["intermediate_anchor"] :]) % 256:
            yield "SMBIOS: bad intermediate checksum"
        more = list(structures(own))
        if found.structures != host.structures + len(more):
            yield f"SMBIOS: {found.structures} structures, the host has {host.structures}"
        # what the host says of its own is its own affair
        if found.max_structure_size < max([host.max_structure_size, *map(len, more)]):
            yield f"SMBIOS: a structure is larger than {found.max_structure_size}"
    room = smbios.TABLES_21_MAX - smbios_data.TYPE0_SIZE
    if not data.endswith(tables):
        yield "SMBIOS: the structures are not the host's"
    elif not own and anchor.startswith(smbios.ANCHOR_21) and len(tables) > room:
        return  # its own would not fit
    elif has_bios(tables) == has_bios(own) or len(list(structures(own))) > 1:
        # one structure of type 0, the host's or the firmware's
        yield "SMBIOS: the firmware's own structure is not of type 0"
