"""Devices that answer at memory addresses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unicorn import Uc

MmioRead = Callable[[int, int], int]  # offset, size -> value
MmioWrite = Callable[[int, int, int], None]  # offset, size, value
Log = Callable[[str, int, int, int], None]  # "read" or "write", address, size, value


@dataclass(frozen=True)
class Range:
    """A device's addresses, and what its accesses do."""

    base: int
    size: int
    read: MmioRead
    write: MmioWrite


class Mmio:
    """The ranges of a machine that are devices; `log` hears of each access, before a write
    takes effect."""

    def __init__(self, uc: Uc, log: Log) -> None:
        self._uc, self._log = uc, log
        self._ranges: dict[int, Range] = {}  # by base

    def map(self, base: int, size: int, read: MmioRead, write: MmioWrite) -> None:
        """[base, base + size) is a device's: whole pages, and unicorn's UcError where
        something is already."""

        def on_read(_uc: Uc, offset: int, width: int, _data: Any) -> int:
            return self.read(base + offset, width)

        def on_write(_uc: Uc, offset: int, width: int, value: int, _data: Any) -> None:
            self.write(base + offset, width, value)

        self._uc.mmio_map(base, size, on_read, None, on_write, None)
        self._ranges[base] = Range(base, size, read, write)

    def unmap(self, base: int) -> None:
        """The range that was mapped at `base` is nothing again."""
        self._uc.mem_unmap(base, self._ranges.pop(base).size)

    def find(self, address: int) -> Range | None:
        """The device at an address."""
        ranges = self._ranges.values()
        return next((r for r in ranges if r.base <= address < r.base + r.size), None)

    def read(self, address: int, size: int) -> int:
        """The value that the CPU reads there; all ones where no device is."""
        found = self.find(address)
        value = found.read(address - found.base, size) if found else (1 << 8 * size) - 1
        self._log("read", address, size, value)
        return value

    def write(self, address: int, size: int, value: int) -> None:
        """A write of the CPU's; dropped where no device is."""
        self._log("write", address, size, value)
        if found := self.find(address):
            found.write(address - found.base, size, value)
