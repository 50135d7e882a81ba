"""PCI's configuration headers as a firmware has left them in the emulated machine."""

from collections.abc import Iterator

from fwbuild.abi import pci
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.pci.function import Function
from tests.support.pci_judge import buses


def headers(machine: Machine) -> Iterator[tuple[int, int, bytes]]:
    """(bus, devfn, header) as the firmware left it, for each function within reach."""
    for bus, devfn, function in within_reach(machine):
        yield bus, devfn, bytes(function.config[: pci.HEADER.sizeof()])


def within_reach(machine: Machine) -> Iterator[tuple[int, int, Function]]:
    """(bus, devfn, function); an image that gives bridges no bus numbers leaves out some."""
    for bus in buses(machine):
        for devfn, function in bus.functions.items():
            if machine.board.pci.find(bus.number, devfn) is function:
                yield bus.number, devfn, function
