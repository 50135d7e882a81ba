"""What a user asks to boot: one description for the emulated machine and for QEMU."""

from dataclasses import dataclass, field
from pathlib import Path

MACHINES = ("microvm", "pc", "q35")
MIB = 1 << 20


@dataclass(frozen=True)
class Guest:
    """A virtual machine in QEMU's own words.

    machine: QEMU's -machine value, options included ("microvm,acpi=off").
    memory:  bytes of RAM.
    smp:     number of CPUs.
    append:  the kernel's command line.
    accel:   "tcg" or "kvm".
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

    @property
    def machine_type(self) -> str:
        """The machine type without its options ("pc-i440fx-2.4")."""
        return self.machine.partition(",")[0]

    @property
    def family(self) -> str:
        """Which of MACHINES it is: "microvm", "pc" or "q35"."""
        kind = self.machine_type
        if kind == "microvm":
            return "microvm"
        return "q35" if "q35" in kind else "pc"
