"""How the firmware's work grows with the guest: with CPUs, PCI functions, memory and initrd."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fwbuild.guest import Guest
from fwbuild.sizes import GIB, MIB

CPUS = (1, 8, 64, 255)
FUNCTIONS = (0, 8, 32)  # of PCI devices
MEMORY = (GIB // 2, 8 * GIB)
INITRD = (MIB, 64 * MIB)
DEVICE = "virtio-rng-pci"
FIRST_SLOT = 0x10  # nothing of the machine's own is there
FUNCTIONS_PER_SLOT = 8


@dataclass(frozen=True)
class Point:
    """A guest that differs from the base in one thing."""

    what: str
    value: str
    guest: Guest


def points(base: Guest, folder: Path) -> Iterator[Point]:
    """Every point for a machine; `folder` takes initrds."""
    for number in CPUS:
        yield Point("CPUs", str(number), replace(base, smp=number))
    for number in FUNCTIONS:
        yield Point("PCI functions", str(number), with_functions(base, number))
    for memory in MEMORY:
        yield Point("memory, GiB", f"{memory / GIB:g}", replace(base, memory=memory))
    for size in INITRD:
        initrd = folder / f"initrd-{size // MIB}"
        with initrd.open("wb") as stream:
            stream.truncate(size)
        yield Point("initrd, MiB", str(size // MIB), replace(base, initrd=initrd))


def with_functions(base: Guest, number: int) -> Guest:
    """The guest with so many more PCI functions, eight a slot; microvm gets its PCIe bus."""
    extra = list(base.extra)
    for i in range(number):
        slot, function = divmod(i, FUNCTIONS_PER_SLOT)
        address = f"{FIRST_SLOT + slot:#x}.{function:#x}"
        extra += ["-device", f"{DEVICE},addr={address},multifunction=on"]
    machine = base.machine
    if not base.family.config_ports and "pcie=" not in machine:
        machine += ",pcie=on"
    return replace(base, machine=machine, extra=tuple(extra))
