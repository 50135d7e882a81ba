"""Finds what PCI functions a QEMU has, what they hold at reset, and which bits can be written.

Bits are found by writing zeros, ones and patterns. The QEMU is not to be used for anything else
then: bridges keep the bus numbers that they got here, and a register that locks itself stays
locked.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

from fwbuild.abi import chipset, offsets, pci
from fwbuild.abi.chipset import Devfn, Device
from fwbuild.emulator.recording import PciFunction
from fwbuild.machines import MachineFamily
from fwbuild.qemu.qtest import Qtest

HEADER, BRIDGE = offsets(pci.HEADER), offsets(pci.BRIDGE)
ONES = 0xFFFFFFFF
PATTERNS = (0xA5A5A5A5, 0x5A5A5A5A)
ABSENT = (pci.NO_VENDOR, 0)  # vendor IDs; 0 is what a machine without ECAM reads there


class ConfigReader(Protocol):
    """A way to read configuration space."""

    def read(self, bus: int, devfn: int, register: int, size: int) -> int: ...


class ConfigSpace(ConfigReader, Protocol):
    """A way to configuration space."""

    def write(self, bus: int, devfn: int, register: int, size: int, value: int) -> None: ...


class ConfigPorts:
    """Configuration mechanism #1."""

    def __init__(self, qtest: Qtest) -> None:
        self._qtest = qtest

    def read(self, bus: int, devfn: int, register: int, size: int) -> int:
        self._select(bus, devfn, register)
        return self._qtest.port_in(pci.CONFIG_DATA + register % 4, size)

    def write(self, bus: int, devfn: int, register: int, size: int, value: int) -> None:
        self._select(bus, devfn, register)
        self._qtest.port_out(pci.CONFIG_DATA + register % 4, size, value)

    def _select(self, bus: int, devfn: int, register: int) -> None:
        address = bus << pci.CONFIG_BUS_SHIFT | devfn << pci.CONFIG_DEVFN_SHIFT | register & ~3
        self._qtest.port_out(pci.CONFIG_ADDRESS, 4, pci.CONFIG_ENABLE | address)


class Ecam:
    """The window at `base`."""

    def __init__(self, qtest: Qtest, base: int) -> None:
        self._qtest, self._base = qtest, base

    def read(self, bus: int, devfn: int, register: int, size: int) -> int:
        return self._qtest.read(self._address(bus, devfn, register), size)

    def write(self, bus: int, devfn: int, register: int, size: int, value: int) -> None:
        self._qtest.write(self._address(bus, devfn, register), size, value)

    def _address(self, bus: int, devfn: int, register: int) -> int:
        function = bus << pci.ECAM_BUS_SHIFT | devfn << pci.ECAM_DEVFN_SHIFT
        return self._base + (function | register)


def enable_ecam(ports: ConfigPorts) -> None:
    """Put q35's window where the firmware puts it."""
    value = chipset.ECAM_BASE | chipset.PCIEXBAR_ENABLE
    ports.write(0, Devfn.HOST_BRIDGE, chipset.PCIEXBAR + 4, 4, 0)
    ports.write(0, Devfn.HOST_BRIDGE, chipset.PCIEXBAR, 4, value)


def put_header(space: ConfigSpace, bus: int, devfn: int, header: bytes) -> None:
    """Give a function what its header is to hold, its command last."""
    for register in range(HEADER["bar"], len(header), 4):
        value = int.from_bytes(header[register : register + 4], "little")
        space.write(bus, devfn, register, 4, value)
    command = HEADER["command"]
    value = int.from_bytes(header[command : command + 2], "little")
    space.write(bus, devfn, command, 2, value)


@dataclass
class Found:
    """A function's first 256 bytes at reset, and the bus where it answers now."""

    bus: int
    function: PciFunction

    @property
    def devfn(self) -> int:
        return self.function.path[-1]


def functions(family: MachineFamily, qtest: Qtest, extra_roots: bool) -> list[PciFunction]:
    """Every PCI function of a machine; where there are `extra_roots`, their buses are looked for
    among all numbers."""
    buses = range(pci.BUSES if extra_roots else 1)
    window = None if family.ecam is None else Ecam(qtest, family.ecam)
    if family.config_ports:
        return _functions(ConfigPorts(qtest), window, buses)
    assert window
    return _functions(window, window, buses)


def _functions(space: ConfigSpace, window: Ecam | None, buses: range) -> list[PciFunction]:
    found = _walk(space, buses)
    if window and isinstance(space, ConfigPorts):
        enable_ecam(space)
    rest = [_extended(window, f) if window else b"" for f in found]
    # last to first: a bridge's own registers reset its devices
    masks = [_mask(space, f) for f in reversed(found)]
    return [
        replace(f.function, config=f.function.config + extended, mask=mask)
        for f, extended, mask in zip(found, rest, reversed(masks), strict=True)
    ]


def _walk(space: ConfigSpace, buses: range) -> list[Found]:
    """Every function; a bridge comes before its devices. While no bridge has a bus
    number yet, whatever answers on another bus than 0 is on an extra root bus."""
    roots = [n for n in buses if any(True for _ in present(space, n))]
    found: list[Found] = []
    for root, following in pairwise([*roots, pci.BUSES]):
        numbers = list(range(root + 1, following))
        found += _bus(space, root, (), root, numbers)
    return found


def _bus(
    space: ConfigSpace, root: int, behind: tuple[int, ...], bus: int, numbers: list[int]
) -> Iterator[Found]:
    """The functions on a bus. Each bridge takes its bus number from `numbers`, and while it is
    followed claims all that are left."""
    for devfn in list(present(space, bus)):
        config = read_config(space, bus, devfn, pci.CONFIG_SIZE)
        function = PciFunction(root, (*behind, devfn), config, b"")
        yield Found(bus, function)
        if function.is_bridge:
            last = numbers[-1]
            secondary = numbers.pop(0)
            space.write(bus, devfn, BRIDGE["primary"], 1, bus)
            space.write(bus, devfn, BRIDGE["secondary"], 1, secondary)
            space.write(bus, devfn, BRIDGE["subordinate"], 1, last)
            yield from _bus(space, root, function.path, secondary, numbers)
            used = numbers[0] - 1 if numbers else last
            space.write(bus, devfn, BRIDGE["subordinate"], 1, used)


def read_config(space: ConfigReader, bus: int, devfn: int, size: int) -> bytes:
    """The first `size` bytes of a function's configuration space, a dword at a time."""
    return b"".join(space.read(bus, devfn, at, 4).to_bytes(4, "little") for at in range(0, size, 4))


def present(space: ConfigReader, bus: int) -> Iterator[int]:
    """The device and function numbers that answer on a bus."""
    for first in range(0, pci.DEVFNS, pci.FUNCTIONS):
        if space.read(bus, first, HEADER["vendor"], 2) in ABSENT:
            continue
        yield first
        if space.read(bus, first, HEADER["type"], 1) & pci.TYPE_MULTIFUNCTION:
            for devfn in range(first + 1, first + pci.FUNCTIONS):
                if space.read(bus, devfn, HEADER["vendor"], 2) not in ABSENT:
                    yield devfn


def _mask(space: ConfigSpace, found: Found) -> bytes:
    """The writable bits of the header, and of all registers where the function is a chipset's
    without capabilities. Elsewhere a write could do more: take the power from a slot, say."""
    header = pci.HEADER.parse(found.function.config)
    own = header.vendor == chipset.VENDOR_INTEL and header.device in set(Device)
    plain = own and not header.status & pci.STATUS_CAPABILITIES
    masks = []
    for at in range(0, pci.CONFIG_SIZE if plain else pci.HEADER.sizeof(), 4):
        masks.append(_register_mask(space, found, at).to_bytes(4, "little"))
    return b"".join(masks)


def _register_mask(space: ConfigSpace, found: Found, register: int) -> int:
    """The writable bits of a dword; 0 of one that makes something else of what is written, or
    has locked itself."""

    def keeps(value: int) -> int:
        space.write(found.bus, found.devfn, register, 4, value)
        return space.read(found.bus, found.devfn, register, 4)

    before = space.read(found.bus, found.devfn, register, 4)
    mask = keeps(0) ^ keeps(ONES)
    for value in (*PATTERNS, before):
        if keeps(value) != before & ~mask | value & mask:
            mask = 0
    return mask


def _extended(window: Ecam, found: Found) -> bytes:
    """The rest of an express function's configuration space."""
    if window.read(found.bus, found.devfn, pci.CONFIG_SIZE, 4) == ONES:
        return b""
    registers = range(pci.CONFIG_SIZE, pci.ECAM_FUNCTION_SIZE, 4)
    return b"".join(
        window.read(found.bus, found.devfn, at, 4).to_bytes(4, "little") for at in registers
    )
