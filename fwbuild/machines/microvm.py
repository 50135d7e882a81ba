"""microvm: virtio-mmio, no PCI unless asked for, the image writable below 1 MiB.

Source: QEMU, hw/i386/microvm.c, include/hw/i386/microvm.h; docs/system/i386/microvm.rst.
"""

from fwbuild.abi import chipset
from fwbuild.machines.family import MachineFamily

MICROVM = MachineFamily(
    name="microvm",
    types=("microvm",),
    ecam=chipset.MICROVM_ECAM_BASE,
    config_ports=False,
    shadow_ram=False,
    pic_with_kvm=False,
    acpi_data_size=0,
    low_ram_max=0xC0000000,
    low_ram_split=0xC0000000,
    seabios="bios-microvm.bin",
    # with no HPET and no PM timer, a kernel finds no clock that it trusts, and waits for ever
    tcg_arguments=("-icount", "shift=auto"),
)
