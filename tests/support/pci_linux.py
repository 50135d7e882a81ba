"""PCI's addresses as QEMU decodes them at the kernel's entry, and as Linux reads them later.

Neither is this project's reading: QEMU's monitor shows its own devices, and a root bus's windows
are what the kernel's interpreter makes of _CRS in QEMU's DSDT.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from tests.support.pci_judge import Range

# For an initrd's script: the resources that Linux ends with.
# dmesg -n: no message of the kernel amid these lines
SHOW = """/bin/busybox dmesg -n 1
for d in /sys/bus/pci/devices/*; do
    echo "function ${d##*/}"
    /bin/busybox cat $d/resource
done
"""
ROM = 6  # the number of its resource, and of its BAR in QEMU's monitor
KINDS = {"io": "io", "I/O": "io", "mem": "memory", "memory": "memory"}
# Of a resource, Linux's include/linux/ioport.h; what is fixed is in no register of the function:
# IDE's old ports, and a VGA ROM's copy.
FLAG_IO, FLAG_FIXED = 0x100, 0x10
Resources = dict[str, dict[int, Range]]  # by function ("40:00.0") and number


@dataclass(frozen=True)
class Root:
    """A root bus: the last bus behind it, and its windows."""

    last: int
    windows: list[Range]


@dataclass(frozen=True)
class Linux:
    """A kernel's report: the firmware's memory map, the root buses by number, and the functions'
    BARs, then ROM, then windows."""

    memmap: list[Range]
    roots: dict[int, Root]
    resources: Resources

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the console, SHOW's output in it."""
        entries = re.findall(r"BIOS-e820: \[mem 0x(\w+)-0x(\w+)\] (.*)", text)
        memmap = [_range("memory", a, b, owner) for a, b, owner in entries]
        return cls(memmap, _roots(text), _resources(text))

    def root(self, function: str) -> Root:
        """The root bus that a function is on or behind."""
        bus = int(function[:2], 16)
        return next(r for first, r in self.roots.items() if first <= bus <= r.last)


def _range(kind: str, first: str, last: str, owner: str) -> Range:
    return Range(kind, int(first, 16), int(last, 16) + 1, owner)


def _owner(function: str, number: int) -> str:
    return f"{function}'s resource {number}"


def _roots(text: str) -> dict[int, Root]:
    lines = re.findall(r"pci_bus 0000:(..): root bus resource \[(\w+) +(\w+)-(\w+)", text)
    return {
        int(bus, 16): Root(
            int(last, 16),
            [
                _range(KINDS[kind], low, high, f"root bus {bus}")
                for at, kind, low, high in lines
                if at == bus and kind in KINDS
            ],
        )
        for bus, kind, _, last in lines
        if kind == "bus"
    }


def _resources(text: str) -> Resources:
    found: Resources = {}
    for name, lines in re.findall(r"^function 0000:(\S+)\n((?:0x.*\n)+)", text, re.MULTILINE):
        found[name] = {}
        for number, line in enumerate(lines.splitlines()):
            first, last, flags = (int(field, 16) for field in line.split())
            if last and not flags & FLAG_FIXED:
                kind = "io" if flags & FLAG_IO else "memory"
                found[name][number] = Range(kind, first, last + 1, _owner(name, number))
    return found


def decoded(text: str) -> Resources:
    """The BARs that QEMU's functions decode, from its monitor's `info pci`."""
    found: Resources = {}
    name = ""
    for line in text.splitlines():
        if place := re.search(r"Bus +(\d+), device +(\d+), function +(\d+)", line):
            name = "{:02x}:{:02x}.{}".format(*map(int, place.groups()))
            found[name] = {}
        elif bar := re.search(r"BAR(\d): .*?(I/O|memory) at (0x\w+) \[(0x\w+)\]", line):
            number, kind, low, high = bar.groups()
            if int(number) != ROM:
                owner = _owner(name, int(number))
                found[name][int(number)] = _range(KINDS[kind], low, high, owner)
    return found


def disagreements(at_entry: Resources, linux: Linux) -> Iterator[str]:
    """Where the BARs that the firmware gave, its map and _CRS's windows contradict one another,
    and which BARs Linux changed."""
    for name, bars in at_entry.items():
        kept = {n: r for n, r in linux.resources[name].items() if n < ROM}
        if kept != bars:
            yield f"{name} had {_text(bars)}, Linux made it {_text(kept)}"
    for name, resources in linux.resources.items():
        for resource in resources.values():
            windows = linux.root(name).windows
            if not any(resource.inside(window) for window in windows):
                yield f"{resource} is in none of {', '.join(map(str, windows))}"
            yield from (f"{resource} overlaps {e}" for e in linux.memmap if resource.overlaps(e))


def _text(resources: dict[int, Range]) -> str:
    return ", ".join(map(str, resources.values())) or "nothing"
