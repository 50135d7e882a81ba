"""SMBIOS: the two entry points, and a type 0 structure of the firmware's own.

Source: DMTF DSP0134 (SMBIOS 3.6), 5.2 (entry points), 6.1 (structures), 7.1 (type 0);
QEMU, hw/smbios/smbios.c.
"""

from construct import Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

ENTRY_21 = Struct(
    "anchor" / Bytes(4),
    "checksum" / Int8ul,
    "length" / Int8ul,
    "major" / Int8ul,
    "minor" / Int8ul,
    "max_structure_size" / Int16ul,
    "revision" / Int8ul,
    "formatted_area" / Bytes(5),
    "intermediate_anchor" / Bytes(5),
    "intermediate_checksum" / Int8ul,
    "table_length" / Int16ul,
    "table_address" / Int32ul,
    "structures" / Int16ul,
    "bcd_revision" / Int8ul,
)

ENTRY_30 = Struct(
    "anchor" / Bytes(5),
    "checksum" / Int8ul,
    "length" / Int8ul,
    "major" / Int8ul,
    "minor" / Int8ul,
    "docrev" / Int8ul,
    "revision" / Int8ul,
    "reserved" / Int8ul,
    "table_max_size" / Int32ul,
    "table_address" / Int64ul,
)

ANCHOR_21 = b"_SM_"
ANCHOR_30 = b"_SM3_"
ANCHOR_21_DWORD = int.from_bytes(ANCHOR_21, "little")
ANCHOR_30_DWORD = int.from_bytes(ANCHOR_30[:4], "little")
ENTRY_ALIGN = 16
TABLES_21_MAX = 0xFFFF  # bytes: what table_length holds

HEADER = Struct(
    "type" / Int8ul,
    "length" / Int8ul,  # of the formatted part; strings follow, and end in two zeros
    "handle" / Int16ul,
)

TYPE_BIOS = 0

BIOS_INFORMATION = Struct(
    "header" / HEADER,
    "vendor" / Int8ul,  # numbers of strings, from 1; 0 means none
    "version" / Int8ul,
    "starting_segment" / Int16ul,
    "release_date" / Int8ul,
    "rom_size" / Int8ul,  # in units of 64 KiB, less 1
    "characteristics" / Int64ul,
    "characteristics_ext1" / Int8ul,
    "characteristics_ext2" / Int8ul,
    "major" / Int8ul,
    "minor" / Int8ul,
    "ec_major" / Int8ul,
    "ec_minor" / Int8ul,
)

CHARACTERISTICS_UNSUPPORTED = 1 << 3
EXT2_VIRTUAL_MACHINE = 1 << 4
NO_EMBEDDED_CONTROLLER = 0xFF
HANDLE_BIOS = 0x0000  # where QEMU puts its own type 0
