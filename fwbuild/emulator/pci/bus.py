"""The buses of a machine: the host's, those behind bridges, and the extra root buses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fwbuild.emulator.pci.function import Function

if TYPE_CHECKING:
    from fwbuild.emulator.pci.bridge import Bridge


class Bus:
    """Functions by device and function number; `root_number` is a root bus's own, the others
    have what their bridge's secondary bus register says."""

    def __init__(self, root_number: int = 0, bridge: Bridge | None = None) -> None:
        self._root_number = root_number
        self.bridge = bridge
        self.functions: dict[int, Function] = {}

    @property
    def number(self) -> int:
        return self.bridge.bus_number if self.bridge else self._root_number

    def in_range(self, number: int) -> bool:
        """Whether a bus of this number is behind this one's bridge, or behind a root's."""
        if self.bridge:
            return self.bridge.in_range(number)
        return any(bus.in_range(number) for bus in self.children())

    def children(self) -> list[Bus]:
        """The buses one bridge away."""
        return [f.secondary for f in self.functions.values() if f.secondary]

    def everything(self) -> Iterator[Function]:
        """Every function on this bus and behind it."""
        yield from self.functions.values()
        for bus in self.children():
            yield from bus.everything()


class Hierarchy:
    """The root buses by number; 0 is the host bridge's. Extra ones count as its children."""

    def __init__(self, roots: dict[int, Bus]) -> None:
        self.roots = roots

    def find(self, number: int, devfn: int) -> Function | None:
        """The function that a configuration cycle reaches."""
        bus = self._bus(number)
        return bus.functions.get(devfn) if bus else None

    def everything(self) -> Iterator[Function]:
        """Every function of the machine."""
        for root in self.roots.values():
            yield from root.everything()

    def _bus(self, number: int) -> Bus | None:
        """As QEMU's pci_find_bus_nr()."""
        if number == 0:
            return self.roots[0]
        children = [*self.roots[0].children(), *(b for n, b in self.roots.items() if n)]
        while children:
            found = next((b for b in children if b.number == number), None)
            if found:
                return found
            above = next((b for b in children if b.in_range(number)), None)
            children = above.children() if above else []
        return None
