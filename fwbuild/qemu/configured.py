"""PCI's headers as a firmware has left them in a real QEMU that has stopped."""

from collections.abc import Iterator

from fwbuild.abi import offsets, pci
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.probe import present, read_config

BRIDGE = offsets(pci.BRIDGE)
HEADER = offsets(pci.HEADER)


class MonitorPorts:
    """Configuration mechanism #1 by the monitor's port accesses; it only reads."""

    def __init__(self, stub: GdbStub) -> None:
        self._stub = stub

    def read(self, bus: int, devfn: int, register: int, size: int) -> int:
        """A register of `size` bytes that does not cross a dword."""
        where = bus << pci.CONFIG_BUS_SHIFT | devfn << pci.CONFIG_DEVFN_SHIFT | register & ~3
        self._stub.monitor(f"o /w {pci.CONFIG_ADDRESS:#x} {pci.CONFIG_ENABLE | where:#x}")
        text = self._stub.monitor(f"i /w {pci.CONFIG_DATA:#x}")
        dword = int(text.rpartition("=")[2], 16)
        return dword >> 8 * (register % 4) & (1 << 8 * size) - 1


def headers(ports: MonitorPorts, extra_roots: bool) -> Iterator[tuple[int, int, bytes]]:
    """(bus, devfn, header) of each function that a bus number leads to, a bridge before its
    devices. Where there are `extra_roots`, their buses are looked for among all numbers."""
    seen: set[int] = set()
    for root in range(pci.BUSES if extra_roots else 1):
        if root not in seen:
            yield from _bus(ports, root, seen)


def _bus(ports: MonitorPorts, bus: int, seen: set[int]) -> Iterator[tuple[int, int, bytes]]:
    seen.add(bus)
    for devfn in list(present(ports, bus)):
        header = read_config(ports, bus, devfn, pci.HEADER.sizeof())
        yield bus, devfn, header
        kind, secondary = header[HEADER["type"]], header[BRIDGE["secondary"]]
        if kind & pci.TYPE_MASK == pci.TYPE_BRIDGE and secondary not in seen:
            yield from _bus(ports, secondary, seen)
