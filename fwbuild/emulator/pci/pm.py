"""The ACPI PM block of PIIX4 and ICH9: fixed registers in I/O space.

Source: ACPI 6.5, 4.8.3; QEMU, hw/acpi/core.c. No time passes in the emulated machine but
through its accesses: the PM timer counts its own reads, and its status stays as at reset until
it is cleared.
"""

from fwbuild.abi import chipset
from fwbuild.abi.chipset import Pm
from fwbuild.emulator.device import Surroundings


class PmBlock:
    """`size` ports at a base that configuration space moves."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._base: int | None = None
        self.ports: frozenset[int] = frozenset()
        self.status = chipset.PM_STATUS_TIMER
        self.enable = self.control = self._ticks = 0

    def move(self, board: Surroundings, base: int | None) -> None:
        """Claim the ports at `base`, or none."""
        if base != self._base:
            board.unmap_ports(self)
            self._base = base
            self.ports = frozenset() if base is None else frozenset(range(base, base + self._size))
            board.map_ports(self)

    def port_in(self, port: int, size: int) -> int:
        if size == 4 and port - (self._base or 0) != Pm.TIMER:
            return self.port_in(port, 2) | self.port_in(port + 2, 2) << 16
        return self._read(port - (self._base or 0)) & (1 << 8 * size) - 1

    def _read(self, offset: int) -> int:
        """QEMU looks at the first byte's address alone. (Which half of PM1 control its second
        byte is has changed from version to version, and is not here.)"""
        if offset == Pm.TIMER:
            self._ticks = self._ticks + 1 & chipset.PM_TIMER_MASK
        held: dict[int, int] = {
            Pm.STATUS: self.status,
            Pm.ENABLE: self.enable,
            Pm.CONTROL: self.control,
            Pm.TIMER: self._ticks,
        }
        return held.get(offset, 0)

    def port_out(self, port: int, size: int, value: int) -> None:
        if size == 4:
            self.port_out(port, 2, value & 0xFFFF)
            self.port_out(port + 2, 2, value >> 16)
            return
        offset = port - (self._base or 0)
        if offset == Pm.STATUS:
            self.status &= ~value  # a one clears
        elif offset == Pm.ENABLE:
            self.enable = value
        elif offset == Pm.CONTROL:
            self.control = value & ~chipset.PM_CONTROL_SLEEP_ENABLE
