"""The MP table, by which a kernel finds its CPUs and interrupts where there is no ACPI.

Source: Intel MultiProcessor Specification 1.4, chapter 4. All fields are little-endian.
"""

from enum import IntEnum, IntFlag

from construct import Bytes, Int8ul, Int16ul, Int32ul, Struct

from fwbuild.abi import chipset, x86

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
CPUID_FEATURES = 1
CPUID_TOPOLOGY = 0xB
CPUID_TOPOLOGY_DIES = 0x1F


def head() -> bytes:
    """Pointer and header, as far as they are known beforehand."""
    pointer = POINTER.build(
        {
            "signature": POINTER_SIGNATURE,
            "address": 0,
            "length": 1,
            "revision": REVISION,
            "checksum": 0,
            "features": bytes(5),
        }
    )
    header = HEADER.build(
        {
            "signature": HEADER_SIGNATURE,
            "length": 0,
            "revision": REVISION,
            "checksum": 0,
            "oem_id": b"fwbuild ",
            "product_id": b"QEMU".ljust(12),
            "oem_table": 0,
            "oem_table_size": 0,
            "entries": 0,
            "lapic_address": x86.APIC_BASE,
            "extended_length": 0,
            "extended_checksum": 0,
            "reserved": 0,
        }
    )
    return bytes(pointer + header)


def fixed() -> bytes:
    """The entries behind the processors that are the same for every guest; interrupts by PCI
    follow them."""
    interrupt = {
        "type": Entry.INTERRUPT,
        "kind": Kind.INT,
        "flags": 0,
        "bus": BUS_ISA,
        "apic": IOAPIC_ID,
    }
    local = {"type": Entry.LOCAL_INTERRUPT, "flags": 0, "bus": BUS_ISA, "irq": 0}
    isa = [irq for irq in range(ISA_IRQS) if irq != TIMER_PIN]
    found = [
        BUS.build({"type": Entry.BUS, "id": BUS_PCI, "name": b"PCI".ljust(6)}),
        BUS.build({"type": Entry.BUS, "id": BUS_ISA, "name": b"ISA".ljust(6)}),
        IOAPIC.build(
            {
                "type": Entry.IOAPIC,
                "id": IOAPIC_ID,
                "version": IOAPIC_VERSION,
                "flags": 1,
                "address": IOAPIC_ADDRESS,
            }
        ),
        *(INTERRUPT.build({**interrupt, "irq": irq, "pin": irq or TIMER_PIN}) for irq in isa),
        INTERRUPT.build({**local, "kind": Kind.EXTINT, "apic": 0, "pin": 0}),
        INTERRUPT.build({**local, "kind": Kind.NMI, "apic": ALL_APICS, "pin": 1}),
    ]
    return b"".join(found)


HEAD_SIZE = len(head())
FIXED_SIZE = len(fixed())
FIXED_ENTRIES = FIXED_SIZE // INTERRUPT.sizeof()  # all of them have its size
PCI_ENTRIES = PCI_SLOTS * chipset.PIRQ_COUNT
SIZE_MAX = HEAD_SIZE + FIXED_SIZE + PCI_ENTRIES * INTERRUPT.sizeof()  # and the processors
