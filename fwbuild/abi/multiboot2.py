"""Multiboot 2: its header, which QEMU's -kernel does not know.

Source: Multiboot2 Specification 2.0, 3.1 "OS image format". All fields are little-endian.
"""

from construct import Int32ul, Struct

HEADER_MAGIC = 0xE85250D6
HEADER_SEARCH = 32768  # the header lies in the file's first bytes, so many
HEADER_ALIGN = 8

HEADER = Struct(
    "magic" / Int32ul,
    "architecture" / Int32ul,
    "header_length" / Int32ul,
    "checksum" / Int32ul,  # makes the sum of the four 0
)
