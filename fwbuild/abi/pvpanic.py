"""QEMU's pvpanic, which tells the host that its guest has panicked: on ISA and on PCI.

A read of its one register tells the events that the host knows, a write reports one. The ISA
device's port is in fw_cfg's file etc/pvpanic-port (u16, little-endian). The register of the PCI
device is the first byte of BAR 0.

Source: QEMU, docs/specs/pvpanic.rst; hw/misc/pvpanic-isa.c, hw/misc/pvpanic-pci.c.
"""

PANICKED = 1 << 0
PCI_ID = 0x0011_1B36  # device and vendor, as configuration space has them
# Where a stop puts BAR 0: between the APICs and the ROM, RAM is nowhere near.
PCI_PLACE = 0xFEF0_0000
