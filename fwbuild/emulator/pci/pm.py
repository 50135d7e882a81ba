"""The ACPI PM block of PIIX4 and ICH9: fixed registers in I/O space.

Source: ACPI 6.5, 4.8.3; QEMU, hw/acpi/core.c. No time passes in the emulated machine but
through its accesses: the PM timer counts its own reads, and its status stays as at reset until
it is cleared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwbuild.abi import chipset
from fwbuild.abi.chipset import Pm

if TYPE_CHECKING:
    from fwbuild.emulator.pci.chipset import Board


class PmBlock:
    """`size` ports at a base that configuration space moves."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._base: int | None = None
        self.ports: frozenset[int] = frozenset()
        self.status = chipset.PM_STATUS_TIMER
        self.enable = self.control = self._ticks = 0

    def move(self, board: Board, base: int | None) -> None:
        """Claim the ports at `base`, or none."""
        if base != self._base:
            board.unmap_ports(self)
            self._base = base
            self.ports = frozenset() if base is None else frozenset(range(base, base + self._size))
            board.map_ports(self)

    def port_in(self, port: int, size: int) -> int:
        offset = port - (self._base or 0)
        if offset == Pm.TIMER:
            self._ticks = self._ticks + 1 & chipset.PM_TIMER_MASK
        held = self.status | self.enable << 8 * Pm.ENABLE | self.control << 8 * Pm.CONTROL
        held |= self._ticks << 8 * Pm.TIMER
        return held >> 8 * offset & (1 << 8 * size) - 1

    def port_out(self, port: int, size: int, value: int) -> None:
        offset = port - (self._base or 0)
        if offset == Pm.STATUS and size == 2:
            self.status &= ~value  # a one clears
        elif offset == Pm.ENABLE and size == 2:
            self.enable = value
        elif offset == Pm.CONTROL and size == 2:
            self.control = value & ~chipset.PM_CONTROL_SLEEP_ENABLE
