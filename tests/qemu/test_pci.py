"""The emulated PCI side against the real one: the same accesses, the same answers."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from unicorn import UC_PROT_WRITE

from fwbuild.abi import pci
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.recording import PciFunction
from fwbuild.guest import Guest
from fwbuild.machines import MACHINES, Q35
from tests.support.matrix import recorded
from tests.support.pci_functions import Reserve
from tests.support.qtest_pair import Pair, Side, pair, port_in, reading, writing

pytestmark = pytest.mark.qemu

GUESTS = recorded()
BY_PORT = [name for name in GUESTS if "microvm" not in name]
RCBA = ("00:1f.0", 0xF0)  # would be put over the ROM; test_ports.py moves it
VALUES = (0xFFFFFFFF, 0, 0xA5A5A5A5, 0x5A5A5A5A)


@dataclass(frozen=True)
class Place:
    """Where a function answers after number()."""

    bus: int
    function: PciFunction

    def select(self, side: Side, register: int) -> int:
        """Set the address port; the data port to use."""
        at = self.bus << 16 | self.function.path[-1] << 8 | register & 0xFC
        side.port_out(0xCF8, 4, 1 << 31 | at)
        return 0xCFC + register % 4

    def get(self, register: int, size: int = 4) -> Callable[[Side], int]:
        return lambda side: side.port_in(self.select(side, register), size)

    def put(self, register: int, value: int, size: int = 4) -> Callable[[Side], None]:
        return lambda side: side.port_out(self.select(side, register), size, value)

    def ecam(self, register: int) -> int:
        return 0xB0000000 + (self.bus << 20 | self.function.path[-1] << 12 | register)


def is_bridge(function: PciFunction) -> bool:
    return function.config[0x0E] & 0x7F == 1


def number(machines: Pair) -> list[Place]:
    """Give the buses numbers depth first, and say where each function is then."""
    places: list[Place] = []
    secondary: dict[tuple[int, tuple[int, ...]], int] = {}
    functions = machines.recording.pci
    last = {root: root for root in (f.root for f in functions)}
    for f in functions:
        bus = secondary[f.root, f.path[:-1]] if len(f.path) > 1 else f.root
        places.append(Place(bus, f))
        if is_bridge(f):
            last[f.root] += 1
            inside = sum(
                is_bridge(g) and g.root == f.root and g.path[: len(f.path)] == f.path
                for g in functions
            )
            secondary[f.root, f.path] = last[f.root]
            numbers = bus | last[f.root] << 8 | (last[f.root] + inside - 1) << 16
            machines.do(places[-1].put(0x18, numbers))
    return places


@pytest.mark.parametrize("name", BY_PORT)
def test_reads_and_writes(name: str) -> None:
    """Every register of every function reads the same, and takes the same from a write of every
    size. Beyond the header only what the recording calls writable is written."""
    with pair(GUESTS[name]) as machines:
        assert len(machines.recording.pci) >= 4
        places = number(machines)
        for place in reversed(places):  # a bridge's control register resets what is behind it
            f = place.function
            for at in range(0, 0x100, 4):
                what = f"{f.place} {at:#04x}"
                before = machines.same(place.get(at), what)
                for byte in range(4):
                    machines.same(place.get(at + byte, 1), f"{what}, byte {byte}")
                if (at >= 0x40 and not any(f.mask[at : at + 4])) or (f.place, at) == RCBA:
                    continue
                for value in (*VALUES, before):
                    machines.do(place.put(at, value))
                    machines.same(place.get(at), f"{what} after {value:#x}")
                for byte in range(4):
                    machines.do(place.put(at + byte, 0x96, 1))
                    machines.same(place.get(at), f"{what} after byte {byte}")
                for half in (0, 2):
                    machines.do(place.put(at + half, 0x6996, 2))
                    machines.same(place.get(at + half, 2), f"{what} after half {half}")
                machines.do(place.put(at, before))


# a bridge, and what its capability says then; all ones for the rest
RESERVED = {
    "pc": (
        "pci-bridge,bus=pci.0,addr=4,chassis_nr=1,io-reserve=4k,mem-reserve=1m,pref64-reserve=64m",
        Reserve(io=0x1000, memory=1 << 20, prefetch_64=64 << 20),
    ),
    "q35": (
        "pcie-root-port,bus=pcie.0,addr=4,chassis=1,bus-reserve=3,mem-reserve=8M,pref32-reserve=2M",
        Reserve(bus=3, memory=8 << 20, prefetch_32=2 << 20),
    ),
}


@pytest.mark.parametrize("name", RESERVED)
def test_what_a_bridge_asks_for(name: str) -> None:
    """The capability that the tests' own bridges have is QEMU's."""
    device, reserve = RESERVED[name]
    expected = reserve.capability()
    with pair(Guest(name, extra=("-device", device))) as machines:
        (bridge,) = (f for f in machines.recording.pci if is_bridge(f) and f.path == (4 << 3,))
        place = Place(0, bridge)
        at, found = machines.same(place.get(0x34, 1), "the first capability"), []
        while at:
            words = [machines.same(place.get(at + n), f"{at + n:#x}") for n in range(0, 32, 4)]
            found.append(b"".join(word.to_bytes(4, "little") for word in words))
            at = found[-1][1]
        (ours,) = (c for c in found if c[0] == pci.Capability.VENDOR)
        assert ours[0:1] + ours[2:] == expected[0:1] + expected[2:]  # but for its link
        assert machines.same(place.get(0, 2), "vendor") == reserve.vendor


@pytest.mark.parametrize("name", BY_PORT)
def test_what_is_not_there(name: str) -> None:
    """Every device number of every bus, before and after the buses have numbers."""
    with pair(GUESTS[name]) as machines:
        for numbered in (False, True):
            if numbered:
                number(machines)
            for bus in (*range(10), 63, *range(64, 68), 127, *range(128, 132), 255):
                for devfn in range(0, 256, 8):
                    where = Place(bus, PciFunction(0, (devfn,), b"", b""))
                    machines.same(where.get(0), f"{bus:02x}:{devfn >> 3:02x}.0")


@pytest.mark.parametrize("name", [n for n in BY_PORT if n not in MACHINES])
def test_bus_reset(name: str) -> None:
    """A bridge that resets its bus hides what is behind it, and it is as at reset afterwards."""
    with pair(GUESTS[name]) as machines:
        places = number(machines)
        for place in places:
            machines.do(place.put(0x04, 7, 2))
            machines.do(place.put(0x10, 0xDEADBEEF))
        bridges = [p for p in places if is_bridge(p.function)]
        assert bridges
        for value in (0x40, 0x00):
            for bridge in bridges:
                machines.do(bridge.put(0x3E, value, 2))
            for place in places:
                for at in (0x00, 0x04, 0x10, 0x18, 0x3C):
                    machines.same(place.get(at), f"{place.function.place} {at:#x} at {value:#x}")
        for place in number(machines):
            for at in (0x00, 0x04, 0x10, 0x18, 0x3C):
                machines.same(place.get(at), f"{place.function.place} {at:#x} after reset")


@pytest.mark.parametrize("name", [n for n, g in GUESTS.items() if g.family is Q35])
def test_ecam(name: str) -> None:
    """The window, where the register puts it; all 4 KiB of what has them, and nothing beyond."""
    with pair(GUESTS[name]) as machines:
        places = number(machines)
        host = places[0]
        for low, high in ((0xB0000001, 0), (0xB0000000, 0), (0xC0000003, 0), (0xB0000001, 0)):
            machines.do(host.put(0x64, high))
            machines.do(host.put(0x60, low))
            for address in (0xB0000000, 0xB00F8000, 0xC0000000, 0xC00F8000):
                if machines.ours.machine.board.mmio.find(address):
                    machines.same(reading(address, 4), hex(address))
                else:  # qtest reads zeros where nothing is
                    assert machines.real.read(address, 4) == 0
        for place in places:
            for at in (*range(0, 0x100, 4), 0x100, 0x104, 0x200, 0xFFC):
                machines.same(reading(place.ecam(at), 4), f"{place.function.place} {at:#x}")
            for at, size, value in ((0x3C, 1, 0x78), (0x04, 2, 0x5678), (0x10, 4, 0x12345678)):
                machines.do(writing(place.ecam(at), size, value))
                machines.same(place.get(at, size), f"{place.function.place} {at:#x} by port")
        for bus, devfn in ((0, 0x78), (9, 0), (255, 0xFF)):
            nothing = Place(bus, PciFunction(0, (devfn,), b"", b""))
            machines.same(reading(nothing.ecam(0), 4), f"{bus} {devfn}")


def test_ecam_of_microvm() -> None:
    with pair(GUESTS["microvm-with-pcie"]) as machines:
        for at in range(0, 0x1000, 4):
            machines.same(reading(0xE0000000 + at, 4), f"{at:#x}")
        for address in (0xE0008000, 0xE0100000, 0xEFFFFFFC):
            machines.same(reading(address, 4), f"{address:#x}")
        for at, value in ((0x04, 0x0507), (0x3C, 0x12), (0x10, 0xFFFFFFFF)):
            machines.do(writing(0xE0000000 + at, 4, value))
            machines.same(reading(0xE0000000 + at, 4), f"{at:#x}")
        machines.same(port_in(0xCF8, 4), "0xcf8")
        assert machines.ours.machine.outcome.unclaimed


def writable(machine: Machine, address: int) -> bool:
    """Whether a guest's write at `address` would stay."""
    (rights,) = (r for a, b, r in machine.uc.mem_regions() if a <= address <= b)
    return bool(rights & UC_PROT_WRITE)


@pytest.mark.parametrize(("name", "pam"), [("pc", 0x59), ("q35", 0x90)])
def test_pam(name: str, pam: int) -> None:
    """Which segments below 1 MiB take writes, as PAM is opened and closed."""
    segments = {
        0xF0000: (0, 0x20),
        **{0xC0000 + 0x4000 * i: (1 + i // 2, 0x20 if i % 2 else 0x02) for i in range(12)},
    }
    closed = [a for a in segments if a < 0xE0000 or a == 0xF0000]
    with pair(Guest(name)) as machines:
        host = Place(0, machines.recording.pci[0])
        for values in ((0,) * 7, (0x30, 0x33, 0x03, 0x30, 0, 0x22, 0x33), (0x10,) * 7, (0x33,) * 7):
            for index, value in enumerate(values):
                machines.do(host.put(pam + index, value, 1))
                machines.same(host.get(pam + index, 1), f"PAM{index}")
            for address in closed:
                index, bit = segments[address]
                stays = bool(values[index] & bit)
                assert writable(machines.ours.machine, address) == stays, hex(address)
                reads = bool(values[index] & bit >> 1)
                if stays == reads:  # qtest's writes pass a segment that is RAM for reads alone
                    old = machines.real.read(address, 1)
                    machines.real.write(address, 1, old ^ 0xFF)
                    assert (machines.real.read(address, 1) != old) == stays, hex(address)
