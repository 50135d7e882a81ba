"""Multiboot 1: what a kernel gets.

Source: Multiboot Specification 0.6.96, 3.2 "Machine state" and 3.3 "Boot information format".
All fields are little-endian.
"""

from enum import IntFlag

from construct import Array, Int8ul, Int32ul, Int64ul, Struct

HEADER_MAGIC = 0x1BADB002
HEADER_SEARCH = 8192  # the header lies in the file's first bytes, so many
LOADER_MAGIC = 0x2BADB002  # EAX at the entry


HEADER_REQUIRED = 0xFFFF  # flags that a loader has to refuse if it does not know them


class HeaderFlag(IntFlag):
    """Bits of the header's flags."""

    ALIGN_MODULES = 1 << 0
    MEMORY_INFO = 1 << 1
    VIDEO = 1 << 2
    ADDRESSES = 1 << 16  # the header tells where to load, the ELF header does not


HEADER = Struct(
    "magic" / Int32ul * "HEADER_MAGIC",
    "flags" / Int32ul * "HeaderFlag",
    "checksum" / Int32ul * "makes the sum of the three 0",
    "header_addr" / Int32ul * "address of this header",
    "load_addr" / Int32ul * "address of the first byte that is loaded",
    "load_end_addr" / Int32ul * "address after the last; 0: the file's end is the last",
    "bss_end_addr" / Int32ul * "address after the zeros that follow it; 0: there are none",
    "entry_addr" / Int32ul * "address of the entry",
    "mode_type" / Int32ul * "of video: 0 graphics, 1 text",
    "width" / Int32ul * "pixels or columns; 0: any",
    "height" / Int32ul * "pixels or rows; 0: any",
    "depth" / Int32ul * "bits a pixel; 0: text, or any",
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
    "flags" / Int32ul * "InfoFlag",
    "mem_lower" / Int32ul * "KiB from 0",
    "mem_upper" / Int32ul * "KiB from 1 MiB to the first hole",
    "boot_device" / Int32ul * "BIOS drive and partition",
    "cmdline" / Int32ul * "address of the command line, which a zero ends",
    "mods_count" / Int32ul * "modules in the list",
    "mods_addr" / Int32ul * "address of the module list",
    "syms" / Array(4, Int32ul) * "the kernel's symbols",
    "mmap_length" / Int32ul * "bytes of the memory map",
    "mmap_addr" / Int32ul * "address of the memory map",
    "drives_length" / Int32ul * "bytes of the drives' list",
    "drives_addr" / Int32ul * "its address",
    "config_table" / Int32ul * "address of the BIOS's configuration table",
    "boot_loader_name" / Int32ul * "address of the loader's name, which a zero ends",
    "apm_table" / Int32ul * "address of the APM table",
    "vbe" / Array(4, Int32ul) * "of VBE's graphics mode",
    # QEMU's ends here: the rest is 0, and none of its flags is set.
    "framebuffer_addr" / Int64ul * "address",
    "framebuffer_pitch" / Int32ul * "bytes a line",
    "framebuffer_width" / Int32ul * "pixels or columns",
    "framebuffer_height" / Int32ul * "pixels or rows",
    "framebuffer_bpp" / Int8ul * "bits a pixel",
    "framebuffer_type" / Int8ul * "0 palette, 1 RGB, 2 text",
    "color_info" / Array(6, Int8ul) * "of the palette or the RGB fields",
)
INFO_SIZE_QEMU = 88
INFO_ADDRESS_QEMU = 0x9500  # in the item of an initrd's address; hw/i386/multiboot.c ADDR_MBI

MODULE = Struct(
    "start" / Int32ul * "address of the module",
    "end" / Int32ul * "address after it",
    "cmdline" / Int32ul * "address of its string, which a zero ends",
    "reserved" / Int32ul * "0",
)

MMAP_ENTRY = Struct(
    "entry_size" / Int32ul * "bytes of the entry after this field",
    "addr" / Int64ul * "first address",
    "size" / Int64ul * "in bytes",
    "type" / Int32ul * "e820.Type",
)
MMAP_ENTRY_SIZE = MMAP_ENTRY.sizeof() - 4
