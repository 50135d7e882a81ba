"""How the CPU reaches configuration space: ports 0xcf8 and 0xcfc, and the ECAM window.

Source: QEMU, hw/pci/pci_host.c and pcie_host.c.
"""

from fwbuild.abi import chipset, pci
from fwbuild.emulator.pci.function import Function
from fwbuild.emulator.pci.hierarchy import Hierarchy


class ConfigAddress:
    """The address port of configuration mechanism #1. Only a dword reaches it; reads may have
    any size, and all begin at its lowest byte. On pc and q35 one port of it is another's."""

    ports = frozenset(range(pci.CONFIG_ADDRESS, pci.CONFIG_ADDRESS + 4)) - {chipset.RESET_CONTROL}

    def __init__(self) -> None:
        self.value = 0

    def port_in(self, port: int, size: int) -> int:
        return self.value & (1 << 8 * size) - 1

    def port_out(self, port: int, size: int, value: int) -> None:
        if port == pci.CONFIG_ADDRESS and size == 4:
            self.value = value


class ConfigData:
    """Its data port, which adds its own low two bits to the address's. Accesses come aligned."""

    ports = frozenset(range(pci.CONFIG_DATA, pci.CONFIG_DATA + 4))

    def __init__(self, address: ConfigAddress, hierarchy: Hierarchy) -> None:
        self._address, self._hierarchy = address, hierarchy

    def port_in(self, port: int, size: int) -> int:
        function, register, width = self._reach(port - pci.CONFIG_DATA, size)
        return function.read(register, width) if function else (1 << 8 * size) - 1

    def port_out(self, port: int, size: int, value: int) -> None:
        function, register, width = self._reach(port - pci.CONFIG_DATA, size)
        if function:
            function.write(register, width, value & (1 << 8 * width) - 1)

    def _reach(self, at: int, size: int) -> tuple[Function | None, int, int]:
        """The function, register and bytes that an access of `size` at data port `at` is to."""
        address = self._address.value
        bus = address >> pci.CONFIG_BUS_SHIFT & pci.BUSES - 1
        devfn = address >> pci.CONFIG_DEVFN_SHIFT & pci.DEVFNS - 1
        register = (address | at) & pci.CONFIG_SIZE - 1
        enabled = address & pci.CONFIG_ENABLE
        function = self._hierarchy.find(bus, devfn) if enabled else None
        return function, register, min(size, pci.CONFIG_SIZE - register)


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
