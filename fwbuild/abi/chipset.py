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
PAM_F_SEGMENT = (PAM_READ | PAM_WRITE) << 4  # PAM0: the F segment is RAM


def config_address(device: int, function: int, register: int, bus: int = 0) -> int:
    """What goes to PCI_CONFIG_ADDRESS to reach a register; a data port adds its low two bits."""
    return PCI_CONFIG_ENABLE | bus << 16 | device << 11 | function << 8 | register


class I440fx(IntEnum):
    """Registers of the pc machine's chipset, as configuration addresses. PIIX3 is 00:01.0,
    its power management (PIIX4) 00:01.3."""

    PAM0 = config_address(0, 0, Pam.I440FX)
    PIRQ_ROUTE = config_address(1, 0, 0x60)
    PMBASE = config_address(1, 3, 0x40)
    PMREGMISC = config_address(1, 3, 0x80)


class Q35(IntEnum):
    """The same of q35, whose LPC bridge is ICH9's 00:1f.0."""

    PCIEXBAR = config_address(0, 0, 0x60)
    PAM0 = config_address(0, 0, Pam.Q35)
    PMBASE = config_address(0x1F, 0, 0x40)
    ACPI_CTRL = config_address(0x1F, 0, 0x44)
    PIRQ_ROUTE_A = config_address(0x1F, 0, 0x60)
    PIRQ_ROUTE_E = config_address(0x1F, 0, 0x68)


PM_BASE = 0x600  # where the power management registers are put in I/O space
PM_IO_SPACE = 1  # bit 0 of PMBASE reads 1: I/O space
PMREGMISC_PMIOSE = 1  # power management I/O space enable
ACPI_CTRL_ENABLE = 1 << 7  # and SCI on IRQ 9
# INTA to INTD go to IRQ 10, 10, 11, 11, a byte each.
PIRQ_ROUTES = 0x0B0B0A0A

ECAM_BASE = 0xB0000000
ECAM_SIZE = 0x10000000  # 256 buses
ECAM_SHIFT = 4  # bus, device, function stand so much higher than in a configuration address
PCIEXBAR_ENABLE = 1  # with a length field of 0: 256 MiB

# What the firmware writes into each chipset: configuration address (of a dword) and value.
I440FX_SETUP = (
    (I440fx.PMBASE, PM_BASE | PM_IO_SPACE),
    (I440fx.PMREGMISC, PMREGMISC_PMIOSE),
    (I440fx.PIRQ_ROUTE, PIRQ_ROUTES),
    (I440fx.PAM0 & ~3, PAM_F_SEGMENT << 8 * (I440fx.PAM0 & 3)),
)
I440FX_WRITES = len(I440FX_SETUP)
# The first opens the way for the others, which go through memory.
Q35_SETUP = (
    (Q35.PCIEXBAR, ECAM_BASE | PCIEXBAR_ENABLE),
    (Q35.PMBASE, PM_BASE | PM_IO_SPACE),
    (Q35.ACPI_CTRL, ACPI_CTRL_ENABLE),
    (Q35.PIRQ_ROUTE_A, PIRQ_ROUTES),
    (Q35.PIRQ_ROUTE_E, PIRQ_ROUTES),
    (Q35.PAM0, PAM_F_SEGMENT),
)
Q35_WRITES = len(Q35_SETUP)


def ecam_address(address: int) -> int:
    """Where a configuration address stands in memory."""
    return ECAM_BASE + ((address & 0xFFFF00) << ECAM_SHIFT) + (address & 0xFF)
