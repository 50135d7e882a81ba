"""A device and the board around it see each other through these."""

from collections.abc import Callable
from typing import Protocol

from fwbuild.emulator.mmio import MmioRead, MmioWrite

Shadow = Callable[[int, int, bool], None]  # base, size, writable: a segment below 1 MiB


class Device(Protocol):
    """A device at I/O ports; the first byte's port is its own, wider accesses may pass it."""

    @property
    def ports(self) -> frozenset[int]: ...

    def port_in(self, port: int, size: int) -> int: ...

    def port_out(self, port: int, size: int, value: int) -> None: ...


class Surroundings(Protocol):
    """The machine as a function may change it. MMIO callbacks get offsets from `base`."""

    shadow: Shadow

    def map_mmio(self, base: int, size: int, read: MmioRead, write: MmioWrite) -> None: ...

    def unmap_mmio(self, base: int) -> None: ...

    def map_ports(self, device: Device) -> None: ...

    def unmap_ports(self, device: Device) -> None: ...
