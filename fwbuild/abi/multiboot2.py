"""Multiboot 2: its header, which QEMU's -kernel does not know, and what a kernel gets.

Source: Multiboot2 Specification 2.0, 3.1 "OS image format", 3.3 "I386 machine state", 3.6 "Boot
information format"; the ELF sections' fields are as wide as in GRUB, include/multiboot2.h.
All fields are little-endian.
"""

from enum import IntEnum

from construct import Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

HEADER_MAGIC = 0xE85250D6
HEADER_SEARCH = 32768  # the header lies in the file's first bytes, so many
HEADER_ALIGN = 8
ARCHITECTURE_I386 = 0
LOADER_MAGIC = 0x36D76289  # EAX at the entry

HEADER = Struct(
    "magic" / Int32ul * "HEADER_MAGIC",
    "architecture" / Int32ul * "ARCHITECTURE_I386",
    "header_length" / Int32ul * "bytes, tags included",
    "checksum" / Int32ul * "makes the sum of the four 0",
)


class HeaderTag(IntEnum):
    """Types of the header's tags, each at a multiple of HEADER_ALIGN."""

    END = 0
    INFORMATION = 1
    ADDRESSES = 2
    ENTRY = 3
    CONSOLE = 4
    FRAMEBUFFER = 5
    MODULE_ALIGN = 6
    EFI_BOOT_SERVICES = 7
    ENTRY_EFI32 = 8
    ENTRY_EFI64 = 9
    RELOCATABLE = 10


OPTIONAL = 1  # of a tag's flags: a loader may ignore the tag
CONSOLE_REQUIRED = 1  # of a CONSOLE tag's flags: there has to be one
FROM_START = 0xFFFFFFFF  # a load_addr: the file is loaded from its start
PREFER_HIGH = 2  # of a RELOCATABLE tag: as high as it can be

HEADER_TAG = Struct(
    "type" / Int16ul * "HeaderTag",
    "flags" / Int16ul * "OPTIONAL",
    "size" / Int32ul * "bytes of the tag, without what aligns the next",
)
# What follows in some of them.
ADDRESSES = Struct(
    "tag" / HEADER_TAG,
    "header_addr" / Int32ul * "as in Multiboot 1's header",
    "load_addr" / Int32ul * "as there, or FROM_START",
    "load_end_addr" / Int32ul,
    "bss_end_addr" / Int32ul,
)
ENTRY = Struct("tag" / HEADER_TAG, "entry_addr" / Int32ul * "physical address")
CONSOLE = Struct("tag" / HEADER_TAG, "console_flags" / Int32ul * "CONSOLE_REQUIRED")
RELOCATABLE = Struct(
    "tag" / HEADER_TAG,
    "min_addr" / Int32ul * "lowest address of the first byte",
    "max_addr" / Int32ul * "highest address of the end",
    "align" / Int32ul * "of the first byte, a power of two",
    "preference" / Int32ul * "0 none, 1 the lowest, PREFER_HIGH",
)


class InfoTag(IntEnum):
    """Types of the information's tags."""

    END = 0
    CMDLINE = 1
    BOOT_LOADER_NAME = 2
    MODULE = 3
    MEMORY = 4
    MMAP = 6
    ELF_SECTIONS = 9
    SMBIOS = 13
    ACPI_OLD = 14
    ACPI_NEW = 15
    LOAD_BASE = 21


INFO = Struct("total_size" / Int32ul * "bytes of it all", "reserved" / Int32ul * "0")
TAG = Struct("type" / Int32ul * "InfoTag", "size" / Int32ul * "bytes, without the padding")
TAG_ALIGN = 8

MODULE = Struct("start" / Int32ul * "address", "end" / Int32ul * "address after it")
MEMORY = Struct(
    "mem_lower" / Int32ul * "KiB from 0", "mem_upper" / Int32ul * "KiB from 1 MiB to the first hole"
)
MMAP = Struct("entry_size" / Int32ul * "bytes of an entry", "entry_version" / Int32ul * "0")
MMAP_ENTRY = Struct(
    "addr" / Int64ul * "first address",
    "size" / Int64ul * "in bytes",
    "type" / Int32ul * "e820.Type",
    "reserved" / Int32ul * "0",
)
ELF_SECTIONS = Struct("num" / Int32ul, "entsize" / Int32ul, "shndx" / Int32ul)
SMBIOS = Struct("major" / Int8ul, "minor" / Int8ul, "reserved" / Bytes(6))
