"""The e820 memory map, and QEMU's fw_cfg file of it.

Source: ACPI 6.5, 15 "System Address Map Interfaces"; QEMU, hw/i386/e820_memory_layout.h.
QEMU's file is an array of ENTRY, unsorted, without the ISA hole.
"""

from enum import IntEnum

from construct import Int32ul, Int64ul, Struct

ENTRY = Struct(
    "addr" / Int64ul * "first address",
    "size" / Int64ul * "in bytes",
    "type" / Int32ul * "Type",
)


class Type(IntEnum):
    """Range types; a kernel treats a type it does not know as reserved."""

    RAM = 1
    RESERVED = 2
    ACPI = 3
    NVS = 4
    UNUSABLE = 5


# The PC's address space below 1 MiB: conventional memory, the VGA window, option ROM
# space and the system ROM.
EBDA = 0x9FC00  # last KiB of conventional memory
VGA = 0xA0000
OPTION_ROM = 0xC0000
SYSTEM_ROM = 0xF0000
EXTENDED = 0x100000
FOUR_GIB = 1 << 32
