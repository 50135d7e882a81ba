"""The parts of the MP table that are the same for every guest: the image holds them.

Source: Intel MultiProcessor Specification 1.4, 4.1 to 4.3.
"""

from fwbuild.abi import chipset, mptable, x86


def head() -> bytes:
    """Pointer and header, as far as they are known beforehand."""
    pointer = mptable.POINTER.build(
        {
            "signature": mptable.POINTER_SIGNATURE,
            "address": 0,
            "length": 1,
            "revision": mptable.REVISION,
            "checksum": 0,
            "features": bytes(5),
        }
    )
    header = mptable.HEADER.build(
        {
            "signature": mptable.HEADER_SIGNATURE,
            "length": 0,
            "revision": mptable.REVISION,
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
    """The entries after the processors that are the same for every guest; interrupts by PCI
    follow them."""
    interrupt = {
        "type": mptable.Entry.INTERRUPT,
        "kind": mptable.Kind.INT,
        "flags": 0,
        "bus": mptable.BUS_ISA,
        "apic": mptable.IOAPIC_ID,
    }
    local = {"type": mptable.Entry.LOCAL_INTERRUPT, "flags": 0, "bus": mptable.BUS_ISA, "irq": 0}
    isa = [irq for irq in range(mptable.ISA_IRQS) if irq != mptable.TIMER_PIN]
    bus, build = {"type": mptable.Entry.BUS}, mptable.INTERRUPT.build
    found = [
        mptable.BUS.build(bus | {"id": mptable.BUS_PCI, "name": b"PCI".ljust(6)}),
        mptable.BUS.build(bus | {"id": mptable.BUS_ISA, "name": b"ISA".ljust(6)}),
        mptable.IOAPIC.build(
            {
                "type": mptable.Entry.IOAPIC,
                "id": mptable.IOAPIC_ID,
                "version": mptable.IOAPIC_VERSION,
                "flags": 1,
                "address": mptable.IOAPIC_ADDRESS,
            }
        ),
        *(build(interrupt | {"irq": irq, "pin": irq or mptable.TIMER_PIN}) for irq in isa),
        build(local | {"kind": mptable.Kind.EXTINT, "apic": 0, "pin": 0}),
        build(local | {"kind": mptable.Kind.NMI, "apic": mptable.ALL_APICS, "pin": 1}),
    ]
    return b"".join(found)


HEAD_SIZE = len(head())
FIXED_SIZE = len(fixed())
FIXED_ENTRIES = FIXED_SIZE // mptable.INTERRUPT.sizeof()  # all of them have its size
PCI_ENTRIES = mptable.PCI_SLOTS * chipset.PIRQ_COUNT
SIZE_MAX = HEAD_SIZE + FIXED_SIZE + PCI_ENTRIES * mptable.INTERRUPT.sizeof()  # and the processors
