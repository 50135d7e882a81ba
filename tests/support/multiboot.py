"""Files with a Multiboot header and no ELF header."""

from fwbuild.abi import multiboot, offsets
from fwbuild.abi.multiboot import HeaderFlag


def multiboot1(
    flags: int = HeaderFlag.ADDRESSES | HeaderFlag.MEMORY_INFO,
    load: int = 0x100000,
    header: int = 0x100000,
    bss_end: int = 0,
) -> bytes:
    fields = dict.fromkeys(offsets(multiboot.HEADER), 0)
    checksum = -(multiboot.HEADER_MAGIC + flags) % (1 << 32)
    fields |= {
        "magic": multiboot.HEADER_MAGIC,
        "flags": flags,
        "checksum": checksum,
        "header_addr": header,
        "load_addr": load,
        "bss_end_addr": bss_end,
        "entry_addr": load + 64,
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
