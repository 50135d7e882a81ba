"""PCI configuration space: the two headers, the bits in them, and how it is reached.

Source: PCI Local Bus Specification 3.0, 3.2.2.3.2 (configuration mechanism #1), 6.1 to 6.3
(headers) and 6.7 (capabilities); PCI-to-PCI Bridge Architecture Specification 1.2, 3.2; PCI
Express Base Specification 3.0, 7.2.2 (ECAM). Sizes and offsets are in bytes.
"""

from enum import IntEnum, IntFlag

from construct import Array, Byte, BytesInteger, Int16ul, Int32ul, Int64ul, Struct

CONFIG_ADDRESS = 0xCF8
CONFIG_DATA = 0xCFC
CONFIG_ENABLE = 1 << 31  # of the address; bus in 23:16, device 15:11, function 10:8, register 7:2
CONFIG_BUS_SHIFT = 16
CONFIG_DEVFN_SHIFT = 8
CONFIG_SIZE = 0x100  # bytes of a conventional function

ECAM_BUS_SHIFT = 20
ECAM_DEVFN_SHIFT = 12
ECAM_FUNCTION_SIZE = 1 << ECAM_DEVFN_SHIFT  # bytes of an express function

BUSES = 256
DEVFNS = 256  # of a bus: 32 devices of 8 functions
FUNCTIONS = 8
DEVFN_DEVICE_SHIFT = 3
NO_VENDOR = 0xFFFF  # what a function that is not there reads as

HEADER = Struct(
    "vendor" / Int16ul,
    "device" / Int16ul,
    "command" / Int16ul,
    "status" / Int16ul,
    "revision" / Byte,
    "class_code" / BytesInteger(3, swapped=True),
    "cache_line" / Byte,
    "latency" / Byte,
    "type" / Byte,
    "bist" / Byte,
    "bar" / Array(6, Int32ul),
    "cardbus_cis" / Int32ul,
    "subsystem_vendor" / Int16ul,
    "subsystem" / Int16ul,
    "rom" / Int32ul,
    "capabilities" / Byte,
    "reserved" / Array(7, Byte),
    "interrupt_line" / Byte,
    "interrupt_pin" / Byte,
    "min_grant" / Byte,
    "max_latency" / Byte,
)

BRIDGE = Struct(
    "common" / Array(16, Byte),  # as HEADER's
    "bar" / Array(2, Int32ul),
    "primary" / Byte,
    "secondary" / Byte,
    "subordinate" / Byte,
    "secondary_latency" / Byte,
    "io_base" / Byte,
    "io_limit" / Byte,
    "secondary_status" / Int16ul,
    "memory_base" / Int16ul,
    "memory_limit" / Int16ul,
    "prefetch_base" / Int16ul,
    "prefetch_limit" / Int16ul,
    "prefetch_base_high" / Int32ul,
    "prefetch_limit_high" / Int32ul,
    "io_base_high" / Int16ul,
    "io_limit_high" / Int16ul,
    "capabilities" / Byte,
    "reserved" / Array(3, Byte),
    "rom" / Int32ul,
    "interrupt_line" / Byte,
    "interrupt_pin" / Byte,
    "control" / Int16ul,
)


class Command(IntFlag):
    """HEADER.command."""

    IO = 1 << 0
    MEMORY = 1 << 1
    MASTER = 1 << 2
    SERR = 1 << 8
    INTX_DISABLE = 1 << 10


STATUS_CAPABILITIES = 1 << 4  # of HEADER.status: there is a list


class Class(IntEnum):
    """The base class: the upper byte of HEADER.class_code."""

    STORAGE = 1
    NETWORK = 2
    BRIDGE = 6


TYPE_MASK = 0x7F  # of HEADER.type
TYPE_BRIDGE = 1
TYPE_MULTIFUNCTION_BIT = 7
TYPE_MULTIFUNCTION = 1 << TYPE_MULTIFUNCTION_BIT
TYPE_SHIFT = 16  # in the dword that HEADER.type is in

BAR_IO = 1 << 0
BAR_MEMORY_TYPE = 3 << 1
BAR_64 = 2 << 1
BAR_PREFETCH = 1 << 3
BAR_IO_FLAGS = 3  # the low bits that are not part of the address
BAR_MEMORY_FLAGS = 0xF
ROM_ENABLE = 1 << 0
ROM_FLAGS = 0x7FF

# A bridge's windows. Base and limit hold the upper bits of a 16-bit register (I/O: 8 bits).
WINDOW_FLAGS = 0xF  # low bits of base and limit: 1 where the upper halves exist
WINDOW_WIDE = 1
WINDOW_MEMORY_SHIFT = 16  # register bits 15:4 are address bits 31:20
WINDOW_MEMORY_ALIGN = 1 << 20
WINDOW_IO_SHIFT = 8  # register bits 7:4 are address bits 15:12
WINDOW_IO_ALIGN = 1 << 12

BRIDGE_CONTROL_BUS_RESET = 1 << 6


class Capability(IntEnum):
    """Capability IDs, the first byte of each; the second is where the next one is."""

    POWER = 0x01
    MSI = 0x05
    VENDOR = 0x09
    EXPRESS = 0x10
    MSIX = 0x11


# The express capability: its second word's bits 7:4 are the kind of port.
EXPRESS_TYPE_SHIFT = 20  # in the capability's first dword
EXPRESS_TYPE_MASK = 0xF
EXPRESS_TYPE_ROOT_PORT = 4
EXPRESS_TYPE_DOWNSTREAM = 6
CAPABILITY_MASK = 0xFC  # of a pointer to a capability
CAPABILITIES_MAX = 48  # as many as fit after the header

# QEMU's capability of a bridge for firmware: what to reserve for devices that come later. All
# ones: nothing is said. Source: QEMU docs/pcie_pci_bridge.txt, include/hw/pci/pci_bridge.h.
VENDOR_REDHAT = 0x1B36
RESERVE = Struct(
    "id" / Byte,  # Capability.VENDOR
    "next" / Byte,
    "length" / Byte,
    "type" / Byte,
    "bus" / Int32ul,  # numbers besides the secondary bus's own
    "io" / Int64ul,  # bytes, as the others
    "memory" / Int32ul,
    "prefetch_32" / Int32ul,
    "prefetch_64" / Int64ul,
)
RESERVE_TYPE = 1
RESERVE_LENGTH = RESERVE.sizeof()

# A bridge's I/O base and limit: base above limit, and no base that QEMU's bridges have at reset.
CLOSED_IO = 0x00E0
CLOSED_MEMORY = 0x0000FFF0  # the same of a memory window
