"""The host bridges of QEMU's pc and q35 machines.

Source: Intel 82441FX (290549) and Q35 (316966) data sheets; QEMU, hw/pci-host/i440fx.c,
q35.c and pam.c. PCI configuration mechanism #1: PCI Local Bus Specification 3.0, 3.2.2.3.2.
"""

from enum import IntEnum

PCI_CONFIG_ADDRESS = 0xCF8
PCI_CONFIG_DATA = 0xCFC
PCI_CONFIG_ENABLE = 1 << 31

VENDOR_INTEL = 0x8086
DEVICE_I440FX = 0x1237
DEVICE_Q35 = 0x29C0


class Pam(IntEnum):
    """The first of the seven programmable attribute map registers."""

    I440FX = 0x59
    Q35 = 0x90


PAM_COUNT = 7
# Each register has two segments, a nibble each; PAM0's upper nibble is the whole F segment.
PAM_READ = 1
PAM_WRITE = 2
PAM_SEGMENT = 0x4000
