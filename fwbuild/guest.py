"""The guest that a user asks to boot: one description for the emulated machine and for QEMU."""

import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from fwbuild import machines
from fwbuild.files import is_file
from fwbuild.machines import MachineFamily
from fwbuild.sizes import MIB

RAM_FILE = "ram.img"  # in a baked guest's folder


@dataclass(frozen=True)
class Guest:
    """A virtual machine in QEMU's own words.

    machine: QEMU's -machine value, options included ("microvm,acpi=off").
    memory:  bytes of RAM.
    smp:     number of CPUs.
    kernel:  its kernel's file, as a Path or as text; None for none.
    initrd:  the same of an initial RAM disk, or a list of modules.
    append:  the kernel's command line.
    firmware_loads: whether the firmware loads the kernel: it is a file of fw_cfg then, not QEMU's
             -kernel, and the initrd is a list of its modules.
    baked:   the folder of a guest that `fwbuild bake` made; `append` is added to its command line
             then, and it has no other kernel.
    accel:   "tcg", "kvm", or "" where `machine` or `extra` name one.
    extra:   further QEMU arguments, verbatim.
    """

    machine: str = "microvm"
    memory: int = 512 * MIB
    smp: int = 1
    kernel: Path | None = None
    initrd: Path | None = None
    append: str = ""
    accel: str = "tcg"
    extra: tuple[str, ...] = field(default_factory=tuple)
    firmware_loads: bool = False
    baked: Path | None = None

    def __post_init__(self) -> None:
        """A script may give a file's name as text."""
        for name in ("kernel", "initrd", "baked"):
            if isinstance(value := getattr(self, name), str):
                object.__setattr__(self, name, Path(value))

    def values(self, *names: str) -> list[str]:
        """The values of QEMU's options of these names in `extra`, in order."""
        pairs = pairwise(self.extra)
        return [value for name, value in pairs if name.replace("--", "-", 1) in names]

    @property
    def modules(self) -> list[tuple[str, str]]:
        """(file, arguments) of each module in the initrd, for a kernel that takes several: QEMU's
        list `FILE ARGUMENTS,FILE ARGUMENTS`, in which a comma of a name is doubled. Where QEMU does
        not read it, a file of that very name goes first.
        Source: QEMU, hw/i386/multiboot.c."""
        if self.firmware_loads and self.initrd and is_file(self.initrd):
            return [(str(self.initrd), "")]
        named = re.split(r"(?<!,),(?!,)", str(self.initrd)) if self.initrd else []
        parts = [module.replace(",,", ",").partition(" ") for module in named]
        return [(file, arguments) for file, _, arguments in parts]

    @property
    def has_kernel(self) -> bool:
        """Whether it is to boot something of the user's: a kernel, or a baked guest."""
        return bool(self.kernel or self.baked)

    @property
    def machine_type(self) -> str:
        """The machine type without its options ("pc-i440fx-2.4")."""
        return machines.machine_type(self.machine)

    @property
    def family(self) -> MachineFamily:
        """The family of its machine type. Raises FwbuildError for one without."""
        return machines.of(self.machine)
