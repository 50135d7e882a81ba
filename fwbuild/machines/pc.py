"""pc: the i440FX and PIIX3/PIIX4 chipset.

Source: QEMU, hw/i386/pc_piix.c and pc.c (pc_machine_class_init: acpi_data_size),
hw/pci-host/i440fx.c; names of distributions: Debian's, Ubuntu's and Red Hat's QEMU.
"""

from fwbuild.abi import chipset
from fwbuild.machines.family import MachineFamily

PC = MachineFamily(
    name="pc",
    types=("pc", "pc-i440fx-*", "pc-[01].*", "ubuntu"),
    # QEMU leaves zeros in the neighbours of PAM0.
    config_writes=(
        (chipset.Config.PIIX4_PM + chipset.PMBASE, chipset.PMBASE_VALUE),
        (chipset.Config.PIIX4_PM + chipset.PMREGMISC, chipset.PMREGMISC_PMIOSE),
        (chipset.Config.PIIX3_ISA + chipset.PIIX3_PIRQ, chipset.PIRQ_ROUTES),
        (
            chipset.Config.HOST_BRIDGE + (chipset.Pam.I440FX & ~3),
            chipset.PAM0_OPEN << 8 * (chipset.Pam.I440FX & 3),
        ),
    ),
    ecam=None,
    config_ports=True,
    # hw/acpi/piix4.c: hot-plug of PCI from 0xae00, of CPUs from 0xaf00, GPE0 at 0xafe0
    free_ports=((0x1000, 0xA000), (0xC000, 0x10000)),
    shadow_ram=True,
    pic_with_kvm=True,
    acpi_data_size=0x28000,
    low_ram_max=0xE0000000,
    low_ram_split=0xC0000000,
    s3_off="PIIX4_PM.disable_s3=1",
    seabios="bios-256k.bin",
)
CONFIG_WRITES = len(PC.config_writes)
