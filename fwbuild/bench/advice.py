"""What takes a device's accesses away: each row was measured, and says with what.

The numbers are those of Debian's 6.1 cloud kernel up to its first user program, on QEMU 7.2.22
under TCG. `python -m tests.support.advice` measures them again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fwbuild.bench import devices
from fwbuild.bench.devices import Device
from fwbuild.guest import Guest
from fwbuild.machines import MICROVM, PC, Q35, MachineFamily


@dataclass(frozen=True)
class Advice:
    """An option that takes away most of a device's accesses.

    append:   a word of the kernel's command line, or "".
    machine:  a property of QEMU's -M, or "".
    families: the machines that it was measured on.
    before, after: the device's accesses without it and with it, on the first of them. How often a
              timer is read while the kernel waits depends on the host's speed.
    price:    what the guest loses by it.
    unless:   words of the command line that say the guest has it, or has chosen otherwise.
    """

    device: Device
    append: str
    machine: str
    families: tuple[MachineFamily, ...]
    before: int
    after: int
    price: str
    unless: tuple[str, ...]

    def said(self, family: MachineFamily, number: int) -> str:
        """The advice to a guest with so many accesses."""
        option = f"--append {self.append}" if self.append else f"-M {family.name},{self.machine}"
        measured = f"with Debian's kernel on {self.families[0].name}"
        return (
            f"{self.device.name}, {number:,} accesses: {option} takes most of them away "
            f"({measured} {self.before:,} became {self.after:,}). {self.price}"
        )


ADVICE = (
    Advice(
        devices.SERIAL, "quiet", "", (MICROVM, PC, Q35), 31389, 200,
        "The kernel's messages are in dmesg alone then.",
        ("quiet", "loglevel="),
    ),
    Advice(
        devices.PIT, "tsc_early_khz=N", "", (PC, Q35), 65111, 195,
        "N is the TSC's frequency, which the kernel measures by the PIT otherwise; "
        "under KVM kvm-clock tells it.",
        ("tsc_early_khz=",),
    ),
    Advice(
        devices.HPET, "", "hpet=off", (PC, Q35), 1858, 0,
        "The guest has no HPET then.",
        ("hpet=off",),
    ),
    Advice(
        devices.PCI, "pci=nommconf", "", (Q35,), 17268, 937,
        "Extended configuration space (AER, for one) is out of reach then.",
        ("nommconf",),
    ),
    Advice(
        devices.KEYBOARD, "", "i8042=off", (PC, Q35), 128, 0,
        "The guest has no PS/2 keyboard and mouse then.",
        ("i8042=off",),
    ),
)  # fmt: skip
WORTH = 100  # accesses of a device: fewer are not worth an option


def advice(guest: Guest, accesses: Mapping[str, int], *, linux: bool = True) -> list[str]:
    """What the user of a guest with these accesses by device may do about them. `linux`: its
    kernel knows Linux's command line."""
    has = f"{guest.append} {guest.machine}"
    return [
        row.said(guest.family, accesses[row.device.name])
        for row in ADVICE
        if accesses.get(row.device.name, 0) >= WORTH
        and guest.family in row.families
        and (linux or not row.append)
        and not any(word in has for word in row.unless)
    ]
