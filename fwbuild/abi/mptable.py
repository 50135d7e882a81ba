"""The MP table, by which a kernel finds its CPUs and interrupts where there is no ACPI.

Source: Intel MultiProcessor Specification 1.4, chapter 4. All fields are little-endian.
"""

from enum import IntEnum, IntFlag

from construct import Bytes, Int8ul, Int16ul, Int32ul, Struct

POINTER = Struct(
    "signature" / Bytes(4),
    "address" / Int32ul,
    "length" / Int8ul,  # in units of 16 bytes
    "revision" / Int8ul,
    "checksum" / Int8ul,
    "features" / Bytes(5),  # all 0: there is a table, and no IMCR
)
POINTER_SIGNATURE = b"_MP_"
POINTER_ALIGN = 16

HEADER = Struct(
    "signature" / Bytes(4),
    "length" / Int16ul,  # of header and entries
    "revision" / Int8ul,
    "checksum" / Int8ul,
    "oem_id" / Bytes(8),
    "product_id" / Bytes(12),
    "oem_table" / Int32ul,
    "oem_table_size" / Int16ul,
    "entries" / Int16ul,
    "lapic_address" / Int32ul,
    "extended_length" / Int16ul,
    "extended_checksum" / Int8ul,
    "reserved" / Int8ul,
)
HEADER_SIGNATURE = b"PCMP"
REVISION = 4  # 1.4


class Entry(IntEnum):
    """Types of entries, the first byte of each."""

    PROCESSOR = 0
    BUS = 1
    IOAPIC = 2
    INTERRUPT = 3
    LOCAL_INTERRUPT = 4


PROCESSOR = Struct(
    "type" / Int8ul,
    "apic_id" / Int8ul,
    "apic_version" / Int8ul,
    "flags" / Int8ul,
    "signature" / Int32ul,  # CPUID 1, EAX
    "features" / Int32ul,  # CPUID 1, EDX
    "reserved" / Bytes(8),
)


class ProcessorFlag(IntFlag):
    """PROCESSOR.flags."""

    ENABLED = 1
    BOOT = 2


BUS = Struct("type" / Int8ul, "id" / Int8ul, "name" / Bytes(6))

IOAPIC = Struct(
    "type" / Int8ul,
    "id" / Int8ul,
    "version" / Int8ul,
    "flags" / Int8ul,
    "address" / Int32ul,
)

INTERRUPT = Struct(  # also LOCAL_INTERRUPT
    "type" / Int8ul,
    "kind" / Int8ul,
    "flags" / Int16ul,  # 0: as the bus has it
    "bus" / Int8ul,
    "irq" / Int8ul,  # PCI: device in 6:2, pin less 1 in 1:0
    "apic" / Int8ul,
    "pin" / Int8ul,
)


class Kind(IntEnum):
    """INTERRUPT.kind."""

    INT = 0
    NMI = 1
    EXTINT = 3


# QEMU's PCs: hw/intc/apic_common.c, ioapic_common.c; hw/i386/x86.c
APIC_VERSION = 0x14
IOAPIC_VERSION = 0x11
IOAPIC_ADDRESS = 0xFEC00000
IOAPIC_ID = 0
ALL_APICS = 0xFF
BUS_PCI = 0
BUS_ISA = 1
ISA_IRQS = 16
TIMER_PIN = 2  # IRQ 0's pin; IRQ 2 is the cascade and has none
PCI_SLOTS = 32

# Leaves of CPUID that count CPUs.
CPUID_TOPOLOGY = 0xB
CPUID_TOPOLOGY_DIES = 0x1F
