"""Buses, and PCI-to-PCI bridges: functions with a secondary bus.

Source: PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.5; QEMU, hw/pci/pci_bridge.c.
"""

from __future__ import annotations

from collections.abc import Iterator

from fwbuild.abi import offsets, pci
from fwbuild.emulator.pci.function import Function

BRIDGE = offsets(pci.BRIDGE)


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
        """Whether a bus of this number is downstream of this one's bridge, or of a root bus."""
        if self.bridge:
            return self.bridge.in_range(number)
        return any(bus.in_range(number) for bus in self.children())

    def children(self) -> list[Bus]:
        """The buses one bridge away."""
        return [f.secondary for f in self.functions.values() if isinstance(f, Bridge)]

    def everything(self) -> Iterator[Function]:
        """Every function on this bus and downstream of it."""
        yield from self.functions.values()
        for bus in self.children():
            yield from bus.everything()


class Bridge(Function):
    """A type 1 header."""

    def __init__(self, config: bytes, mask: bytes) -> None:
        super().__init__(config, mask)
        self.secondary = Bus(bridge=self)

    def written(self, registers: range, before: bytes) -> None:
        """A rising bus reset bit resets everything downstream of the bridge."""
        control = BRIDGE["control"]
        rising = self.config[control] & ~before[control] & pci.BRIDGE_CONTROL_BUS_RESET
        if control in registers and rising:
            for function in self.secondary.everything():
                function.reset()

    def in_range(self, number: int) -> bool:
        """Whether type 1 cycles to a bus of this number are forwarded."""
        if self.config[BRIDGE["control"]] & pci.BRIDGE_CONTROL_BUS_RESET:
            return False
        return self.config[BRIDGE["secondary"]] <= number <= self.config[BRIDGE["subordinate"]]

    @property
    def bus_number(self) -> int:
        return self.config[BRIDGE["secondary"]]
