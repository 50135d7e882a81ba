"""QEMU's fw_cfg device.

Source: QEMU, docs/specs/fw_cfg.rst; the keys are in
include/standard-headers/linux/qemu_fw_cfg.h and hw/nvram/fw_cfg.c.
Numeric items are little-endian, the directory and the DMA descriptor big-endian.
"""

from enum import IntEnum, IntFlag

from construct import (
    Array,
    FixedSized,
    GreedyString,
    Int16ub,
    Int32ub,
    Int64ub,
    NullTerminated,
    Struct,
    this,
)

PORT_SELECTOR = 0x510  # 16-bit write
PORT_DATA = 0x511  # byte reads
PORT_DMA_HIGH = 0x514  # big-endian; 0 after reset and after each transfer
PORT_DMA_LOW = 0x518  # big-endian; a write starts the transfer

SIGNATURE_TEXT = b"QEMU"
DMA_SIGNATURE = b"QEMU CFG"  # what the two DMA ports read as
DMA_SIGNATURE_LOW = int.from_bytes(DMA_SIGNATURE[4:], "little")
KEY_WRITE_CHANNEL = 0x4000  # a bit of the selector that means nothing any more
FILES_MAX = 0x4000  # no more than keys that mean something


class Key(IntEnum):
    """Selector keys of the items that are not files."""

    SIGNATURE = 0x00
    ID = 0x01
    UUID = 0x02
    RAM_SIZE = 0x03
    NOGRAPHIC = 0x04
    NB_CPUS = 0x05
    MACHINE_ID = 0x06
    KERNEL_ADDR = 0x07
    KERNEL_SIZE = 0x08
    KERNEL_CMDLINE = 0x09
    INITRD_ADDR = 0x0A
    INITRD_SIZE = 0x0B
    BOOT_DEVICE = 0x0C
    NUMA = 0x0D
    BOOT_MENU = 0x0E
    MAX_CPUS = 0x0F
    KERNEL_ENTRY = 0x10
    KERNEL_DATA = 0x11
    INITRD_DATA = 0x12
    CMDLINE_ADDR = 0x13
    CMDLINE_SIZE = 0x14
    CMDLINE_DATA = 0x15
    SETUP_ADDR = 0x16
    SETUP_SIZE = 0x17
    SETUP_DATA = 0x18
    FILE_DIR = 0x19
    FILE_FIRST = 0x20


class Feature(IntFlag):
    """Bits of item ID (u32)."""

    TRADITIONAL = 1
    DMA = 2


class DmaControl(IntFlag):
    """Bits of DMA.control; the key stands in its upper 16 bits. 0 means done."""

    ERROR = 1
    READ = 2
    SKIP = 4
    SELECT = 8
    WRITE = 16


DMA_KEY_SHIFT = 16


def read_control(key: int) -> int:
    """DMA.control that selects an item and reads it, as a little-endian CPU sees the field."""
    control = key << DMA_KEY_SHIFT | DmaControl.READ | DmaControl.SELECT
    return int.from_bytes(control.to_bytes(4, "big"), "little")


READ_ITEM = read_control(0)  # with a key in its low half, big-endian

# `Read.KEY`: read_control() of each item.
Read = IntEnum("Read", {key.name: read_control(key) for key in Key})  # type: ignore[misc]

DMA = Struct(
    "control" / Int32ub * "the item's key, then DmaControl",
    "length" / Int32ub * "in bytes",
    "address" / Int64ub * "of the memory to read or write",
)

DIR_HEADER = Struct("count" / Int32ub)


FILE_NAME_SIZE = 56
# A file's name ends at the first zero, whatever follows; any byte may be in it.
FILE_NAME = FixedSized(FILE_NAME_SIZE, NullTerminated(GreedyString("latin-1"), require=False))

# The files that a guest may write by DMA: those that QEMU adds by fw_cfg_add_file_callback()
# with read_only false (hw/acpi/vmgenid.c and ghes.c, hw/misc/vmcoreinfo.c,
# hw/display/ramfb.c, hw/isa/lpc_ich9.c).
WRITABLE_FILES = frozenset({
    "etc/vmgenid_addr", "etc/hardware_errors_addr", "etc/vmcoreinfo", "etc/ramfb",
    "etc/smi/requested-features",
})  # fmt: skip

FILE = Struct(
    "size" / Int32ub,
    "select" / Int16ub,
    "reserved" / Int16ub,
    "name" / FILE_NAME,
)

FILES = Struct(*DIR_HEADER.subcons, "entries" / Array(this.count, FILE))
