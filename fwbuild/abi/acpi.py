"""QEMU's ACPI table loader, and the tables that lead to the waking vector.

Source: QEMU, hw/acpi/bios-linker-loader.c (a script of 128-byte entries, little-endian);
ACPI 6.5, 5.2.5 (RSDP), 5.2.6 (table header), 5.2.7 (RSDT), 5.2.9 (FADT) and 5.2.10 (FACS).
"""

from enum import IntEnum

from construct import Bytes, Int8ul, Int32ul, Int64ul, Struct

from fwbuild.abi import fw_cfg

LOADER_ENTRY_SIZE = 128


class Command(IntEnum):
    """The first field of an entry."""

    PADDING = 0
    ALLOCATE = 1
    ADD_POINTER = 2
    ADD_CHECKSUM = 3
    WRITE_POINTER = 4


class Zone(IntEnum):
    """Where ALLOCATE puts a file."""

    HIGH = 1
    F_SEGMENT = 2


ALLOCATE = Struct(
    "command" / Int32ul,
    "file" / fw_cfg.FILE_NAME,
    "align" / Int32ul,
    "zone" / Int8ul,
    "unused" / Bytes(3),
)

ADD_POINTER = Struct(  # *(dest + offset) += address of source, `size` bytes
    "command" / Int32ul,
    "dest" / fw_cfg.FILE_NAME,
    "source" / fw_cfg.FILE_NAME,
    "offset" / Int32ul,
    "size" / Int8ul,
)

ADD_CHECKSUM = Struct(  # *(file + offset) -= sum of `length` bytes from `start`
    "command" / Int32ul,
    "file" / fw_cfg.FILE_NAME,
    "offset" / Int32ul,
    "start" / Int32ul,
    "length" / Int32ul,
)

WRITE_POINTER = Struct(  # fw_cfg file dest, at dest_offset = address of source + source_offset
    "command" / Int32ul,
    "dest" / fw_cfg.FILE_NAME,
    "source" / fw_cfg.FILE_NAME,
    "dest_offset" / Int32ul,
    "source_offset" / Int32ul,
    "size" / Int8ul,
)

RSDP_SIGNATURE = b"RSD PTR "
RSDP_SIGNATURE_LOW = int.from_bytes(RSDP_SIGNATURE[:4], "little")
RSDP_SIGNATURE_HIGH = int.from_bytes(RSDP_SIGNATURE[4:], "little")

RSDP = Struct(
    "signature" / Bytes(8),
    "checksum" / Int8ul,
    "oem_id" / Bytes(6),
    "revision" / Int8ul,
    "rsdt_address" / Int32ul,
)

RSDP_XSDT = Struct(  # revision 2 goes on
    "length" / Int32ul,
    "xsdt_address" / Int64ul,
    "extended_checksum" / Int8ul,
    "reserved" / Bytes(3),
)

TABLE_HEADER = Struct(
    "signature" / Bytes(4),
    "length" / Int32ul,
    "revision" / Int8ul,
    "checksum" / Int8ul,
    "oem_id" / Bytes(6),
    "oem_table_id" / Bytes(8),
    "oem_revision" / Int32ul,
    "creator_id" / Bytes(4),
    "creator_revision" / Int32ul,
)

RSDT_SIGNATURE = int.from_bytes(b"RSDT", "little")  # the header, then an address of 4 bytes each
FADT_SIGNATURE = int.from_bytes(b"FACP", "little")
FACS_SIGNATURE = int.from_bytes(b"FACS", "little")

FADT = Struct(
    "header" / TABLE_HEADER,
    "firmware_ctrl" / Int32ul,  # address of the FACS
    "dsdt" / Int32ul,
)
FACS = Struct(  # has no TABLE_HEADER
    "signature" / Bytes(4),
    "length" / Int32ul,
    "hardware_signature" / Int32ul,
    "firmware_waking_vector" / Int32ul,  # address: CS is it >> 4, IP its lower 4 bits
)
