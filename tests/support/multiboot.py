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
