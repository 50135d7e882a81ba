"""A family of QEMU's machine types: all that fwbuild knows of it."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

Write = tuple[int, int]
VERSION = re.compile(r"-(\d+)\.(\d+)(\.\d+)?$")  # at a machine type's end
PVH_SINCE = (4, 0)  # the version of pc and q35 that loads a vmlinux (hw/i386/pc.c, pvh_enabled)


@dataclass(frozen=True, kw_only=True)
class MachineFamily:
    """The machine types that are one board to a firmware, whatever their version.

    name:           the family's name, which is also QEMU's name of its newest version.
    types:          patterns of the names that QEMU and distributions give its machine types.
    config_writes:  what the firmware programs before it reads the ACPI files, for QEMU builds
                    them from it: pairs of a value of pci.CONFIG_ADDRESS and a dword.
    ecam_writes:    the same by way of ECAM, after config_writes: address and dword.
    ecam:           address of ECAM, None where there is none.
    config_ports:   whether PCI's configuration space has its two I/O ports.
    aperture_start: where PCI's aperture below 4 GiB starts at least; it starts above RAM, too.
    free_ports:     [start, end) of I/O ports that no device of the board has, from 0x1000 on.
    shadow_ram:     whether RAM may take the place of the image's lower alias, by PAM registers.
    pic_with_kvm:   whether there are interrupt controllers and a timer under KVM, too.
    acpi_data_size: bytes that QEMU's loader keeps free for ACPI tables at the end of low RAM.
    low_ram_max:    with fewer bytes of RAM than this all of it lies below 4 GiB,
    low_ram_split:  else so many, and the rest from 4 GiB on.
    s3_off:         QEMU's property that takes suspend to RAM (S3) from the guest, "" where the
                    machine has none.
    seabios:        name of SeaBIOS' image for it, in Debian's package.
    tcg_arguments:  what QEMU needs under TCG so that Linux trusts a clock, with one CPU.
    """

    name: str
    types: tuple[str, ...]
    config_writes: tuple[Write, ...] = ()
    ecam_writes: tuple[Write, ...] = ()
    ecam: int | None
    config_ports: bool
    aperture_start: int = 0
    free_ports: tuple[tuple[int, int], ...] = ()
    shadow_ram: bool
    pic_with_kvm: bool
    acpi_data_size: int
    low_ram_max: int
    low_ram_split: int
    s3_off: str = ""
    seabios: str
    tcg_arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name

    def has(self, machine_type: str) -> bool:
        """Whether a machine type ("pc-q35-4.0") belongs to the family."""
        return any(fnmatchcase(machine_type, pattern) for pattern in self.types)

    def loads_pvh(self, machine_type: str) -> bool:
        """Whether QEMU is known to load a vmlinux for a machine type of the family. A name
        without a version is the newest, or a distribution's, which may be an old one."""
        if found := VERSION.search(machine_type):
            return (int(found[1]), int(found[2])) >= PVH_SINCE
        return machine_type in self.types

    def low_ram(self, memory: int) -> int:
        """The bytes of RAM that lie below 4 GiB."""
        return memory if memory < self.low_ram_max else self.low_ram_split
