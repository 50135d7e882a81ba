"""Multiboot 1: what a kernel gets.

Source: Multiboot Specification 0.6.96, 3.2 "Machine state" and 3.3 "Boot information format".
All fields are little-endian.
"""

from enum import IntFlag

from construct import Array, Int8ul, Int32ul, Int64ul, Struct

HEADER_MAGIC = 0x1BADB002
HEADER_SEARCH = 8192  # the header lies in the file's first bytes, so many
LOADER_MAGIC = 0x2BADB002  # EAX at the entry


class HeaderFlag(IntFlag):
    """Bits of the header's flags."""

    ALIGN_MODULES = 1 << 0
    MEMORY_INFO = 1 << 1
    VIDEO = 1 << 2
    ADDRESSES = 1 << 16  # the header tells where to load, the ELF header does not


HEADER = Struct(
    "magic" / Int32ul,
    "flags" / Int32ul,
    "checksum" / Int32ul,  # makes the sum of the three 0
    "header_addr" / Int32ul,
    "load_addr" / Int32ul,
    "load_end_addr" / Int32ul,  # 0: to the end of the file
    "bss_end_addr" / Int32ul,  # 0: no bss
    "entry_addr" / Int32ul,
    "mode_type" / Int32ul,
    "width" / Int32ul,
    "height" / Int32ul,
    "depth" / Int32ul,
)


class InfoFlag(IntFlag):
    """Bits of the information's flags: which fields hold something."""

    MEMORY = 1 << 0
    BOOT_DEVICE = 1 << 1
    CMDLINE = 1 << 2
    MODULES = 1 << 3
    MMAP = 1 << 6
    BOOT_LOADER_NAME = 1 << 9


INFO = Struct(
    "flags" / Int32ul,
    "mem_lower" / Int32ul,  # KiB from 0
    "mem_upper" / Int32ul,  # KiB from 1 MiB to the first hole
    "boot_device" / Int32ul,
    "cmdline" / Int32ul,
    "mods_count" / Int32ul,
    "mods_addr" / Int32ul,
    "syms" / Array(4, Int32ul),
    "mmap_length" / Int32ul,  # bytes
    "mmap_addr" / Int32ul,
    "drives_length" / Int32ul,
    "drives_addr" / Int32ul,
    "config_table" / Int32ul,
    "boot_loader_name" / Int32ul,
    "apm_table" / Int32ul,
    "vbe" / Array(4, Int32ul),
    # QEMU's ends here: the rest is 0, and none of its flags is set.
    "framebuffer_addr" / Int64ul,
    "framebuffer_pitch" / Int32ul,
    "framebuffer_width" / Int32ul,
    "framebuffer_height" / Int32ul,
    "framebuffer_bpp" / Int8ul,
    "framebuffer_type" / Int8ul,
    "color_info" / Array(6, Int8ul),
)
INFO_SIZE_QEMU = 88

MODULE = Struct(
    "start" / Int32ul,
    "end" / Int32ul,
    "cmdline" / Int32ul,
    "reserved" / Int32ul,
)

MMAP_ENTRY = Struct(
    "entry_size" / Int32ul,  # of what follows
    "addr" / Int64ul,
    "size" / Int64ul,
    "type" / Int32ul,  # e820.Type
)
MMAP_ENTRY_SIZE = MMAP_ENTRY.sizeof() - 4
