"""Writes EFI applications byte by byte. Source: Microsoft, PE Format."""

import struct

ALIGN = 0x200
X86_64, AARCH64 = 0x8664, 0xAA64
DATA_AT = 4 * ALIGN  # where the sections' bytes start

Section = tuple[str, int, int, int]  # name, size in memory, size in the file, place in the file


def pe(sections: list[Section], data: bytes, machine: int = X86_64, optional: int = 112) -> bytes:
    """A PE32+ file for EFI: DOS header, PE header, the table of sections, `data` at DATA_AT."""
    dos = b"MZ" + bytes(58) + struct.pack("<I", 64)
    head = struct.pack("<4sHHIIIHH", b"PE\0\0", machine, len(sections), 0, 0, 0, optional, 0x22)
    fields = (0x20B, 0, 0, 0, 0, 0, 0, 0, 0x140000000, 0x1000, ALIGN)
    start = struct.pack("<HBBIIIIIQII", *fields)
    body = (start + bytes(24) + struct.pack("<IIIHH", 0, 0, 0, 10, 0)).ljust(optional, b"\0")
    table = b"".join(
        struct.pack("<8sIIIIIIHHI", name.encode(), memory, 0x1000 * i, size, at, 0, 0, 0, 0, 0)
        for i, (name, memory, size, at) in enumerate(sections, 1)
    )
    return (dos + head + body + table).ljust(DATA_AT, b"\0") + data


def uki(parts: dict[str, bytes], **more: int) -> bytes:
    """A UKI, each section filled up as a linker does."""
    sections: list[Section] = []
    data = b""
    for name, content in parts.items():
        size = -(-len(content) // ALIGN) * ALIGN
        sections.append((name, len(content), size, DATA_AT + len(data)))
        data += content.ljust(size, b"\xee")
    return pe(sections, data, **more)
