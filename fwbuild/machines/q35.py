"""q35: the Q35 and ICH9 chipset, with PCI Express.

Source: QEMU, hw/i386/pc_q35.c and pc.c (pc_machine_class_init: acpi_data_size),
hw/pci-host/q35.c, hw/isa/lpc_ich9.c; names of distributions: Debian's, Ubuntu's and Red Hat's
QEMU.
"""

from fwbuild.abi import chipset
from fwbuild.machines.family import MachineFamily

Q35 = MachineFamily(
    name="q35",
    types=("q35", "pc-q35-*", "ubuntu-q35"),
    # chipset.PCIEXBAR opens ECAM, and ecam_writes go through it. Its upper half is 0.
    config_writes=(
        (
            chipset.Config.HOST_BRIDGE + chipset.PCIEXBAR,
            chipset.ECAM_BASE | chipset.PCIEXBAR_ENABLE,
        ),
    ),
    ecam_writes=(
        (chipset.Ecam.ICH9_LPC + chipset.PMBASE, chipset.PMBASE_VALUE),
        (chipset.Ecam.ICH9_LPC + chipset.ACPI_CTRL, chipset.ACPI_CTRL_ENABLE),
        (chipset.Ecam.ICH9_LPC + chipset.ICH9_PIRQ_A, chipset.PIRQ_ROUTES),
        (chipset.Ecam.ICH9_LPC + chipset.ICH9_PIRQ_E, chipset.PIRQ_ROUTES),
        (chipset.Ecam.HOST_BRIDGE + chipset.Pam.Q35, chipset.PAM0_OPEN),
    ),
    ecam=chipset.ECAM_BASE,
    config_ports=True,
    aperture_start=chipset.ECAM_BASE + chipset.ECAM_SIZE,
    # include/hw/acpi/ich9.h and cpu_hotplug.h: what pc has above 0xa000 is at 0xcc0 and 0xcd8
    free_ports=((0x1000, 0x10000),),
    shadow_ram=True,
    pic_with_kvm=True,
    acpi_data_size=0x28000,
    low_ram_max=0xB0000000,
    low_ram_split=0x80000000,
    s3_off="ICH9-LPC.disable_s3=1",
    seabios="bios-256k.bin",
)
ECAM_WRITES = len(Q35.ecam_writes)
