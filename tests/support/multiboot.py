"""Files with a Multiboot header and no ELF header."""

import struct

from fwbuild.abi import multiboot, multiboot2, offsets
from fwbuild.abi.multiboot import HeaderFlag
from fwbuild.abi.multiboot2 import HeaderTag

BASE = 0x100000  # where they are loaded


def multiboot1(
    flags: int = HeaderFlag.ADDRESSES | HeaderFlag.MEMORY_INFO,
    load: int = 0x100000,
    header: int = 0x100000,
    bss_end: int = 0,
    entry: int = 64,
) -> bytes:
    """`entry`: bytes from where it is loaded."""
    fields = dict.fromkeys(offsets(multiboot.HEADER), 0)
    checksum = -(multiboot.HEADER_MAGIC + flags) % (1 << 32)
    fields |= {
        "magic": multiboot.HEADER_MAGIC,
        "flags": flags,
        "checksum": checksum,
        "header_addr": header,
        "load_addr": load,
        "bss_end_addr": bss_end,
        "entry_addr": load + entry,
    }
    return bytes(multiboot.HEADER.build(fields)).ljust(4096, b"\x90")


CONTENT = bytes(range(100, 200))


def by_header(**fields: int) -> bytes:
    """A kernel whose header tells where it is loaded: 64 bytes into the file, at 1 MiB."""
    values = dict.fromkeys((f.name for f in multiboot.HEADER.subcons), 0)
    flags = fields.get("flags", multiboot.HeaderFlag.ADDRESSES)
    checksum = -(multiboot.HEADER_MAGIC + flags) % (1 << 32)
    values |= dict(
        magic=multiboot.HEADER_MAGIC,
        flags=flags,
        checksum=checksum,
        header_addr=0x100010,
        load_addr=0x100000,
        entry_addr=0x100040,
    )
    return bytes(64) + bytes(multiboot.HEADER.build(values | fields)) + CONTENT


def by_header2(*, unknown: bool = False) -> bytes:
    """A Multiboot 2 kernel that is no ELF file: 64 bytes into the file its header, at 1 MiB.
    `unknown`: the header has a tag that has to be obeyed, and that nobody knows."""
    tags = [
        struct.pack("<HHIIIII", HeaderTag.ADDRESSES, 0, 24, BASE + 64, BASE, 0, 0),
        struct.pack("<HHIII", HeaderTag.ENTRY, 0, 12, BASE + len(CONTENT), 0),
        struct.pack("<HHI", 99, 0, 8) if unknown else b"",
        struct.pack("<HHI", HeaderTag.END, 0, 8),
    ]
    body = b"".join(tags)
    length = multiboot2.HEADER.sizeof() + len(body)
    fields = (multiboot2.HEADER_MAGIC, multiboot2.ARCHITECTURE_I386, length)
    header = struct.pack("<IIII", *fields, -sum(fields) % (1 << 32))
    return bytes(64) + header + body + CONTENT
