"""The parts of an image that run in RAM: where the firmware copies them."""

from collections.abc import Iterator
from dataclasses import dataclass

from fwbuild.assembler.link import Linked
from fwbuild.firmware import layout, work

TRAMPOLINE = "smp_trampoline"
BIOS_GROUP = "bios"


@dataclass(frozen=True)
class Copy:
    """A range of the image that runs elsewhere: [to, to + size) has what is at `start`."""

    start: int
    to: int
    size: int

    def has(self, address: int) -> bool:
        """Whether an address of the image is in it."""
        return self.start <= address < self.start + self.size


def copies(linked: Linked) -> Iterator[Copy]:
    """The BIOS calls (bios_install copies them), and what a woken CPU starts with (smp_init)."""
    group = [f.name for f in linked.fragments if f.group == BIOS_GROUP]
    if group:
        start = linked.addresses[group[0]]
        end = linked.addresses[group[-1]] + linked.size(group[-1])
        yield Copy(start, layout.BIOS.base + work.BIOS_CODE, end - start)
    if TRAMPOLINE in linked.addresses:
        scratch = layout.region("scratch").base
        yield Copy(linked.addresses[TRAMPOLINE], scratch, linked.size(TRAMPOLINE))


def places(linked: Linked, name: str) -> list[int]:
    """The addresses at which a fragment runs: in the image, then in its copies."""
    start = linked.addresses[name]
    moved = [c.to + start - c.start for c in copies(linked) if c.has(start)]
    return [start, *moved]
