"""How the CPU reaches configuration space: ports 0xcf8 and 0xcfc, and the ECAM window.

Source: QEMU, hw/pci/pci_host.c and pcie_host.c.
"""

from collections.abc import Iterator

from fwbuild.abi import chipset, pci
from fwbuild.emulator.pci.bus import Hierarchy


def pieces(start: int, size: int) -> Iterator[tuple[int, int]]:
    """(position, size) of the naturally aligned accesses that QEMU makes of one."""
    end = start + size
    while start < end:
        largest = 1 << (end - start).bit_length() - 1
        step = min(start & -start or largest, largest)
        yield start, step
        start += step


class ConfigPorts:
    """Configuration mechanism #1. Only a dword reaches the address register, but reads of it
    may have any size, and all read its low bytes. The data port adds its own low two bits to
    the register's."""

    ports = frozenset(range(pci.CONFIG_ADDRESS, pci.CONFIG_DATA + 4)) - {chipset.RESET_CONTROL}

    def __init__(self, hierarchy: Hierarchy) -> None:
        self._hierarchy = hierarchy
        self._address = 0

    def port_in(self, port: int, size: int) -> int:
        if port < pci.CONFIG_DATA:
            return self._address & (1 << 8 * size) - 1
        value = shift = 0
        for at, step in pieces(port - pci.CONFIG_DATA, size):
            value |= self._read(at, step) << shift
            shift += 8 * step
        return value

    def port_out(self, port: int, size: int, value: int) -> None:
        if port < pci.CONFIG_DATA:
            if port == pci.CONFIG_ADDRESS and size == 4:
                self._address = value
            return
        for at, step in pieces(port - pci.CONFIG_DATA, size):
            self._write(at, step, value & (1 << 8 * step) - 1)
            value >>= 8 * step

    def _read(self, at: int, size: int) -> int:
        bus, devfn, register = self._split(at)
        function = self._hierarchy.find(bus, devfn)
        if not self._address & pci.CONFIG_ENABLE or at >= 4 or not function:
            return (1 << 8 * size) - 1
        return function.read(register, min(size, pci.CONFIG_SIZE - register))

    def _write(self, at: int, size: int, value: int) -> None:
        bus, devfn, register = self._split(at)
        function = self._hierarchy.find(bus, devfn)
        if self._address & pci.CONFIG_ENABLE and at < 4 and function:
            size = min(size, pci.CONFIG_SIZE - register)
            function.write(register, size, value & (1 << 8 * size) - 1)

    def _split(self, at: int) -> tuple[int, int, int]:
        address = self._address
        bus = address >> pci.CONFIG_BUS_SHIFT & pci.BUSES - 1
        devfn = address >> pci.CONFIG_DEVFN_SHIFT & pci.DEVFNS - 1
        return bus, devfn, (address | at) & pci.CONFIG_SIZE - 1


class Ecam:
    """The window of the enhanced configuration access mechanism; offsets are from its base."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self._hierarchy = hierarchy

    def read(self, offset: int, size: int) -> int:
        bus, devfn, register = self._split(offset)
        function = self._hierarchy.find(bus, devfn)
        return function.read(register, size) if function else (1 << 8 * size) - 1

    def write(self, offset: int, size: int, value: int) -> None:
        bus, devfn, register = self._split(offset)
        if function := self._hierarchy.find(bus, devfn):
            function.write(register, size, value)

    @staticmethod
    def _split(offset: int) -> tuple[int, int, int]:
        bus = offset >> pci.ECAM_BUS_SHIFT & pci.BUSES - 1
        devfn = offset >> pci.ECAM_DEVFN_SHIFT & pci.DEVFNS - 1
        return bus, devfn, offset & pci.ECAM_FUNCTION_SIZE - 1
