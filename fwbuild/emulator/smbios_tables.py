"""Holds the SMBIOS tables in guest memory against the host's.

Source: DMTF DSP0134 (SMBIOS 3.6), 5.2 and 6.1.
"""

from collections.abc import Callable, Iterator

from fwbuild.abi import offsets, smbios
from fwbuild.firmware import layout, smbios_data

Read = Callable[[int, int], bytes]


def entry_point(read: Read) -> int | None:
    """Address of the entry point, found as a kernel does, on a 16-byte boundary."""
    segment = layout.F_SEGMENT
    for address in range(segment.base, segment.end, smbios.ENTRY_ALIGN):
        if read(address, 4) in (smbios.ANCHOR_21, smbios.ANCHOR_30[:4]):
            return address
    return None


def structures(data: bytes) -> Iterator[bytes]:
    """Each structure, its strings with it."""
    at = 0
    while at + smbios.HEADER.sizeof() <= len(data):
        end = data.index(b"\0\0", at + data[at + 1]) + 2
        yield data[at:end]
        at = end


def judge_smbios(read: Read, anchor: bytes, tables: bytes) -> Iterator[str]:
    """What is wrong with what the guest finds; `anchor` and `tables` are the host's files."""
    address = entry_point(read)
    if address is None:
        yield "SMBIOS: no entry point in the F segment"
        return
    entry = read(address, len(anchor))
    if sum(entry) % 256:
        yield "SMBIOS: bad checksum of the entry point"
    own = [] if any(s[0] == smbios.TYPE_BIOS for s in structures(tables)) else [smbios_data.type0()]
    if anchor.startswith(smbios.ANCHOR_30):
        found = smbios.ENTRY_30.parse(entry)
        data = read(found.table_address, found.table_max_size)
    else:
        found = smbios.ENTRY_21.parse(entry)
        data = read(found.table_address, found.table_length)
        host = smbios.ENTRY_21.parse(anchor)
        if sum(entry[offsets(smbios.ENTRY_21)["intermediate_anchor"] :]) % 256:
            yield "SMBIOS: bad intermediate checksum"
        if found.structures != host.structures + len(own):
            yield f"SMBIOS: {found.structures} structures, the host has {host.structures}"
        if found.max_structure_size < max(len(s) for s in structures(data)):
            yield f"SMBIOS: a structure is larger than {found.max_structure_size}"
    if data != b"".join(own) + tables:
        yield "SMBIOS: the structures are not the host's"
