"""Buses, and PCI-to-PCI bridges: functions with a bus behind them, and the windows they forward.

Source: PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.5; QEMU, hw/pci/pci_bridge.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fwbuild.abi import offsets, pci
from fwbuild.emulator.pci.function import Function

BRIDGE = offsets(pci.BRIDGE)


@dataclass(frozen=True)
class Window:
    """A range of addresses that is forwarded; `limit` is its last byte. Closed if below base."""

    base: int
    limit: int

    @property
    def open(self) -> bool:
        return self.base <= self.limit

    def covers(self, address: int, size: int) -> bool:
        """Whether all of [address, address + size) is forwarded."""
        return self.base <= address and address + size - 1 <= self.limit


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
        return [f.secondary for f in self.functions.values() if isinstance(f, Bridge)]

    def everything(self) -> Iterator[Function]:
        """Every function on this bus and behind it."""
        yield from self.functions.values()
        for bus in self.children():
            yield from bus.everything()


class Bridge(Function):
    """A type 1 header."""

    def __init__(self, config: bytes, mask: bytes) -> None:
        super().__init__(config, mask)
        self.secondary = Bus(bridge=self)

    def written(self, registers: range, before: bytes) -> None:
        """A rising bus reset bit resets everything behind the bridge."""
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

    def memory_window(self) -> Window:
        """Memory that need not be prefetchable, below 4 GiB."""
        return self._memory("memory", 0, 0)

    def prefetch_window(self) -> Window:
        """Prefetchable memory; 64-bit where the bridge says so."""
        if not self._wide("prefetch_base"):
            return self._memory("prefetch", 0, 0)
        base, limit = (self.read(BRIDGE[f"prefetch_{end}_high"], 4) for end in ("base", "limit"))
        return self._memory("prefetch", base << 32, limit << 32)

    def io_window(self) -> Window:
        """I/O ports; 32-bit where the bridge says so."""
        base, limit = (
            (self.read(BRIDGE[f"io_{end}"], 1) & ~pci.WINDOW_FLAGS) << pci.WINDOW_IO_SHIFT
            for end in ("base", "limit")
        )
        if self._wide("io_base"):
            base |= self.read(BRIDGE["io_base_high"], 2) << 16
            limit |= self.read(BRIDGE["io_limit_high"], 2) << 16
        return Window(base, limit | pci.WINDOW_IO_ALIGN - 1)

    def _memory(self, name: str, base: int, limit: int) -> Window:
        low, high = (
            (self.read(BRIDGE[f"{name}_{end}"], 2) & ~pci.WINDOW_FLAGS) << pci.WINDOW_MEMORY_SHIFT
            for end in ("base", "limit")
        )
        return Window(base | low, limit | high | pci.WINDOW_MEMORY_ALIGN - 1)

    def _wide(self, name: str) -> bool:
        return self.config[BRIDGE[name]] & pci.WINDOW_FLAGS == pci.WINDOW_WIDE
