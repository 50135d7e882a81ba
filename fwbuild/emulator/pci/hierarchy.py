"""The root buses of a machine: the host's and the extra ones."""

from collections.abc import Iterator

from fwbuild.emulator.pci.bridge import Bus
from fwbuild.emulator.pci.function import Function


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
