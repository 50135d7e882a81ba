"""The chipsets of QEMU's machines: where each function is, and its registers.

Source: Intel data sheets 290549 (82441FX), 290550 (82371SB, PIIX3), 290562 (82371AB, PIIX4),
316966 (Q35) and 316972 (ICH9); QEMU, hw/pci-host/i440fx.c, q35.c, pam.c and gpex.c,
hw/isa/piix3.c and lpc_ich9.c, hw/acpi/piix4.c and ich9.c, hw/intc/i8259.c, and
include/hw/i386/microvm.h.
"""

from enum import IntEnum

from fwbuild.abi import pci

VENDOR_INTEL = 0x8086


class Device(IntEnum):
    """Device IDs; the vendor is VENDOR_INTEL."""

    I440FX = 0x1237
    PIIX3_ISA = 0x7000
    PIIX3_IDE = 0x7010
    PIIX4_PM = 0x7113
    Q35 = 0x29C0
    ICH9_LPC = 0x2918
    ICH9_SATA = 0x2922
    ICH9_SMBUS = 0x2930


class Devfn(IntEnum):
    """Device (7:3) and function (2:0) on bus 0. The host bridges of pc and q35 are both 0."""

    HOST_BRIDGE = 0x00
    PIIX3_ISA = 0x08
    PIIX3_IDE = 0x09
    PIIX4_PM = 0x0B
    ICH9_LPC = 0xF8
    ICH9_SATA = 0xFA
    ICH9_SMBUS = 0xFB


class Config(IntEnum):
    """The functions as values of pci.CONFIG_ADDRESS; a register's offset is added."""

    HOST_BRIDGE = pci.CONFIG_ENABLE | Devfn.HOST_BRIDGE << pci.CONFIG_DEVFN_SHIFT
    PIIX3_ISA = pci.CONFIG_ENABLE | Devfn.PIIX3_ISA << pci.CONFIG_DEVFN_SHIFT
    PIIX3_IDE = pci.CONFIG_ENABLE | Devfn.PIIX3_IDE << pci.CONFIG_DEVFN_SHIFT
    PIIX4_PM = pci.CONFIG_ENABLE | Devfn.PIIX4_PM << pci.CONFIG_DEVFN_SHIFT
    ICH9_LPC = pci.CONFIG_ENABLE | Devfn.ICH9_LPC << pci.CONFIG_DEVFN_SHIFT
    ICH9_SATA = pci.CONFIG_ENABLE | Devfn.ICH9_SATA << pci.CONFIG_DEVFN_SHIFT
    ICH9_SMBUS = pci.CONFIG_ENABLE | Devfn.ICH9_SMBUS << pci.CONFIG_DEVFN_SHIFT


# 8 bytes: base, length in 2:1 (0 is 256 MiB, 1 is 128, 2 is 64), bit 0 enables.
PCIEXBAR = 0x60  # QEMU: MCH_HOST_BRIDGE_PCIEXBAR
PCIEXBAR_ENABLE = 1 << 0
PCIEXBAR_LENGTH = 3 << 1
PCIEXBAR_BASE = 0xFFC000000  # 35:26; the low ones count where the length is 128 or 64 MiB
ECAM_BASE = 0xB0000000  # where QEMU's register points at reset, disabled
ECAM_SIZE = 0x10000000
MICROVM_ECAM_BASE = 0xE0000000  # PCIE_ECAM_BASE; no register moves it
MICROVM_ECAM_SIZE = 0x10000000
# QEMU: pc_piix.c, the most RAM below 4 GiB that any of the machines has
RAM_END_MAX = 0xE0000000
# QEMU: IO_APIC_DEFAULT_ADDRESS, the end of i440fx.c's and q35.c's pci_hole
DEVICE_WINDOW_END = 0xFEC00000


class Ecam(IntEnum):
    """The functions of q35 in the window at ECAM_BASE; a register's offset is added."""

    HOST_BRIDGE = ECAM_BASE + (Devfn.HOST_BRIDGE << pci.ECAM_DEVFN_SHIFT)
    ICH9_LPC = ECAM_BASE + (Devfn.ICH9_LPC << pci.ECAM_DEVFN_SHIFT)


class Pam(IntEnum):
    """The first of the seven programmable attribute map registers."""

    I440FX = 0x59
    Q35 = 0x90


PAM_COUNT = 7
# Each register has two segments, a nibble each; PAM0's upper nibble is the whole F segment.
PAM_READ = 1
PAM_WRITE = 2
PAM_SEGMENT = 0x4000
PAM0_OPEN = (PAM_READ | PAM_WRITE) << 4  # the F segment is RAM

# Power management: the same register in both chipsets; bit 0 says that it is an I/O address.
PMBASE = 0x40  # QEMU: pm_io_space_update(); ICH9_LPC_PMBASE
PMBASE_IO = 1 << 0
PM_BASE = 0x600  # the I/O port that the firmware gives it
PMBASE_VALUE = PM_BASE | PMBASE_IO

PIIX4_PMBASE_MASK = 0xFFC0
PIIX4_PM_SIZE = 0x40  # ports
PMREGMISC = 0x80  # QEMU: pm_io_space_update()
PMREGMISC_PMIOSE = 1 << 0  # PM I/O space enable

ICH9_PMBASE_MASK = 0xFF80
ICH9_PM_SIZE = 0x80  # ports
ACPI_CTRL = 0x44  # QEMU: ICH9_LPC_ACPI_CTRL
ACPI_CTRL_ENABLE = 1 << 7
RCBA = 0xF0  # QEMU: ICH9_LPC_RCBA. Root complex base address in 31:14; bit 0 enables
RCBA_ENABLE = 1 << 0
RCBA_MASK = 0xFFFFC000
RCBA_SIZE = 0x4000
# QEMU: ich9_cc_reset(). Which pin of each device goes to which PIRQ, and GCS.
RCRB_PINS = (0x3140, 0x3144, 0x3146, 0x3148, 0x314C, 0x3150)  # devices 31, 29 to 25
RCRB_PINS_RESET = 0x3210
RCRB_GCS = 0x3410
RCRB_GCS_RESET = 0x20


class Pm(IntEnum):
    """Ports of the PM block, from its base (ACPI 6.5, 4.8.3)."""

    STATUS = 0x0  # PM1a_EVT: status, then enable
    ENABLE = 0x2
    CONTROL = 0x4  # PM1a_CNT
    TIMER = 0x8


PM_STATUS_TIMER = 1 << 0  # the timer's highest bit has changed
PM_CONTROL_SCI_ENABLE = 1 << 0  # the machine is in ACPI mode
PM_CONTROL_SLEEP_ENABLE = 1 << 13
PM_TIMER_MASK = 0xFFFFFF  # 24 bits

# PCI interrupts: four routes a register group, a byte each: the IRQ, or bit 7 set for no route.
PIIX3_PIRQ = 0x60  # QEMU: PIIX_PIRQCA. A to D
ICH9_PIRQ_A = 0x60  # QEMU: ICH9_LPC_PIRQA_ROUT. A to D
ICH9_PIRQ_E = 0x68  # QEMU: ICH9_LPC_PIRQE_ROUT. E to H
PIRQ_COUNT = 4
# QEMU: ich9_cc_reset(). From this device of bus 0 on each pin has a route of its own, below it
# they rotate over E to H.
ICH9_FIXED_PINS = 25
# The routes that SeaBIOS sets, and so QEMU's own DSDT is used to.
PIRQ_A_IRQ = 10
PIRQ_B_IRQ = 10
PIRQ_C_IRQ = 11
PIRQ_D_IRQ = 11
PIRQ_ROUTES = PIRQ_A_IRQ | PIRQ_B_IRQ << 8 | PIRQ_C_IRQ << 16 | PIRQ_D_IRQ << 24

# Edge or level of each IRQ: a bit an IRQ, set for level. QEMU: hw/intc/i8259_common.c, elcr_mask.
ELCR_MASTER = 0x4D0  # IRQ 0-7
ELCR_SLAVE = 0x4D1  # IRQ 8-15
ELCR_MASTER_WRITABLE = 0xF8
ELCR_SLAVE_WRITABLE = 0xDE
ELCR_SLAVE_LEVEL = 1 << (PIRQ_A_IRQ - 8) | 1 << (PIRQ_C_IRQ - 8)

RESET_CONTROL = 0xCF9  # QEMU: PIIX_RCR_IOPORT, ICH9_RST_CNT_IOPORT
RESET_CONTROL_SYSTEM = 1 << 1
RESET_CONTROL_CPU = 1 << 2  # resets when set
