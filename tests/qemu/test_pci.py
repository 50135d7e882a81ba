"""The emulated PCI side against the real one: the same accesses, the same answers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import pytest
from unicorn import UC_PROT_WRITE

from fwbuild.abi import pci
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.recording import PciFunction, Recording
from fwbuild.guest import Guest
from fwbuild.machines import MACHINES, Q35
from fwbuild.qemu.command import command
from fwbuild.qemu.qtest import Qtest
from fwbuild.qemu.record import record
from fwbuild.qemu.session import stopped
from tests.support.matrix import recorded
from tests.support.offered import is_later_than
from tests.support.pci_functions import Reserve

pytestmark = pytest.mark.qemu

GUESTS = recorded()
BY_PORT = [name for name in GUESTS if "microvm" not in name]
IMAGE = bytes(0x10000)
RCBA = ("00:1f.0", 0xF0)  # would be put over the ROM; test_root_complex moves it
VALUES = (0xFFFFFFFF, 0, 0xA5A5A5A5, 0x5A5A5A5A)


class Side(Protocol):
    """A machine to make accesses on: Qtest is one."""

    def port_in(self, port: int, size: int) -> int: ...

    def port_out(self, port: int, size: int, value: int) -> None: ...

    def read(self, address: int, size: int) -> int: ...

    def write(self, address: int, size: int, value: int) -> None: ...


class Emulated:
    """The emulated machine, accessed as its CPU would."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def port_in(self, port: int, size: int) -> int:
        return self.machine._on_in(self.machine.uc, port, size, None)

    def port_out(self, port: int, size: int, value: int) -> None:
        self.machine._on_out(self.machine.uc, port, size, value, None)

    def read(self, address: int, size: int) -> int:
        return self.machine.board.mmio.read(address, size)

    def write(self, address: int, size: int, value: int) -> None:
        self.machine.board.mmio.write(address, size, value)


def port_in(port: int, size: int) -> Callable[[Side], int]:
    return lambda side: side.port_in(port, size)


def port_out(port: int, size: int, value: int) -> Callable[[Side], None]:
    return lambda side: side.port_out(port, size, value)


def reading(address: int, size: int) -> Callable[[Side], int]:
    return lambda side: side.read(address, size)


def writing(address: int, size: int, value: int) -> Callable[[Side], None]:
    return lambda side: side.write(address, size, value)


@dataclass
class Pair:
    """The two machines of a recording."""

    real: Qtest
    ours: Emulated
    recording: Recording

    def do(self, access: Callable[[Side], object]) -> None:
        """The same on both."""
        access(self.real)
        access(self.ours)

    def same(self, read: Callable[[Side], int], what: str) -> int:
        """The same read on both, which must give the same."""
        real, ours = read(self.real), read(self.ours)
        assert ours == real, f"{what}: {ours:#x}, in QEMU {real:#x}"
        return real


@contextmanager
def pair(guest: Guest) -> Iterator[Pair]:
    """A QEMU at reset, and the emulated machine of its recording."""
    recording = record(guest)
    with stopped(command(guest), "-qtest") as connection:
        yield Pair(Qtest(connection), Emulated(Machine(IMAGE, recording)), recording)


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


def splits() -> bool:
    """Whether QEMU makes several accesses of one that is wider than a device's registers, or
    crosses their end, as the emulator does. QEMU 11 answers 0; the firmware makes none."""
    return not is_later_than("10.2")


@pytest.mark.parametrize("name", MACHINES)
def test_odd_accesses(name: str) -> None:
    """The address port takes dwords only; the data port takes what crosses its end apart."""
    with pair(Guest(name)) as machines:
        for size, value in ((4, 0x8000000C), (2, 0x1234), (1, 0x56), (4, 0x80000041)):
            machines.do(port_out(0xCF8, size, value))
            for port, width in (
                (0xCF8, 4),
                (0xCF8, 2),
                (0xCF8, 1),
                (0xCFA, 2),
                (0xCFB, 1),
                (0xCFC, 4),
                (0xCFC, 1),
                (0xCFD, 1),
                (0xCFD, 2),
                (0xCFE, 2),
                (0xCFF, 1),
                (0xCF9, 1),
            ):
                if (port, width) == (0xCFD, 2) and not splits():
                    continue
                machines.same(port_in(port, width), f"{width} bytes at {port:#x} after {value:#x}")
        machines.do(port_out(0xCF8, 4, 0x8000003C))
        machines.do(port_out(0xCFC, 1, 0x77))
        machines.do(port_out(0xCF8, 4, 0x0000003C))  # not enabled
        machines.do(port_out(0xCFC, 1, 0x11))
        machines.same(port_in(0xCFC, 1), "disabled")
        machines.do(port_out(0xCF8, 4, 0x8000003C))
        assert machines.same(port_in(0xCFC, 1), "enabled again") in (0x77, 0xFF)


def program(side: Side, name: str, base: int, on: bool) -> None:
    """Put the PM block at a port, as the chipset's data sheet says."""
    function, enable, bit = (0x80000B00, 0x80, 1) if name == "pc" else (0x8000F800, 0x44, 0x80)
    for register, value in ((0x40, base | 1), (enable, bit if on else 0)):
        side.port_out(0xCF8, 4, function | register)
        side.port_out(0xCFC, 4, value)


@pytest.mark.parametrize("name", ["pc", "q35"])
def test_pm_block(name: str) -> None:
    """It appears where it is put, keeps what it is given, and goes."""
    with pair(Guest(name)) as machines:
        for base, on in ((0x600, True), (0x600, False), (0xB000, True), (0x600, True)):
            machines.do(partial(program, name=name, base=base, on=on))
            for port in (0x600, 0x602, 0x604, 0xB000, 0xB004):
                machines.same(port_in(port, 2), f"{port:#x}, {base:#x} {on}")
        for port, size, value in (
            (0x602, 2, 0x0121),
            (0x604, 2, 0x0001),
            (0x600, 2, 0xFFFF),
            (0x600, 4, 0x01200001),
            (0x604, 1, 0x01),
            (0x602, 1, 0x20),
            (0x604, 2, 0x0C01),
        ):
            if size == 4 and not splits():
                continue
            machines.do(port_out(port, size, value))
            for again, width in ((0x600, 2), (0x602, 2), (0x604, 2), (0x600, 4)):
                if width == 4 and not splits():
                    continue
                machines.same(port_in(again, width), f"{again:#x} after {value:#x} to {port:#x}")


GCS = 0x3410  # general control and status, of the registers behind RCBA


def test_root_complex() -> None:
    """The registers behind RCBA: at reset, after writes, and after the window has moved."""
    with pair(Guest("q35")) as machines:
        for base in (0xFED1C000, 0xFEDD0000):
            machines.do(port_out(0xCF8, 4, 0x8000F8F0))
            machines.do(port_out(0xCFC, 4, base | 1))
            for at in range(0, 0x4000, 4):
                if at != GCS or splits():  # at reset QEMU 11 has 0 there
                    machines.same(reading(base + at, 4), f"{base + at:#x}")
            for at, size, value in ((0x3140, 2, 0x1032), (GCS, 4, 0xFFFFFFFF), (0x31FF, 1, 3)):
                machines.do(writing(base + at, size, value))
                machines.same(reading(base + at, size), f"{base + at:#x}")
        assert machines.real.read(0xFED1F410, 4) == 0
        assert not machines.ours.machine.board.mmio.find(0xFED1F410)


LEGACY = {
    "interrupt controllers": [
        (0x20, 0x0A),
        *((port, value) for base in (0x20, 0xA0) for port, value in (
            (base, 0x11), (base + 1, 0x08), (base + 1, 0x04), (base + 1, 0x01), (base + 1, 0xFB),
            (base, 0x20), (base, 0x0B), (base, 0x0A), (base, 0x13), (base + 1, 0x70),
            (base + 1, 0x01), (base + 1, 0xAA), (base, 0x10), (base + 1, 0x08), (base + 1, 0x04),
            (base + 1, 0x55), (base, 0x12), (base + 1, 0x08), (base + 1, 0x33))),
    ],
    "trigger modes": [(0x4D0, 0), (0x4D0, 0xFF), (0x4D1, 0xFF), (0x4D0, 0), (0x4D1, 0x0C)],
    "timer": [(0x43, 0x30), (0x40, 0x34), (0x40, 0x12), (0x43, 0x74), (0x41, 0x80), (0x41, 0x01),
              (0x43, 0x90), (0x42, 0x55), (0x43, 0xA0), (0x42, 0x66)],
    "clock": [(0x70, 0x0D), (0x71, 0x00), (0x70, 0x0F), (0x71, 0x5A), (0x70, 0x8F), (0x70, 0x34),
              (0x71, 0x99), (0x70, 0x0C), (0x71, 0x11), (0x70, 0x7F), (0x71, 0x7F)],
}  # fmt: skip
READ_BACK = {
    "interrupt controllers": (0x20, 0x21, 0xA0, 0xA1),
    "trigger modes": (0x4D0, 0x4D1),
    "timer": (0x43,),
    "clock": (0x70, 0x71),
}


@pytest.mark.parametrize("device", LEGACY)
@pytest.mark.parametrize("name", MACHINES)
def test_legacy_devices(name: str, device: str) -> None:
    with pair(Guest(name)) as machines:
        for port, value in LEGACY[device]:
            machines.do(port_out(port, 1, value))
            for again in READ_BACK[device]:
                machines.same(port_in(again, 1), f"{again:#x} after {value:#x} to {port:#x}")


WIDE = [
    (0x70, 0x000F),
    (0x20, 0xFB11),
    (0x21, 0x5AA5),
    (0xA0, 0x7013),
    (0x4D0, 0x0CF8),
    (0x4D1, 0xFF0C),
    (0x70, 0x5A0F),
]


@pytest.mark.parametrize("name", MACHINES)
def test_words_to_byte_devices(name: str) -> None:
    """A word is two accesses to the same device, even where the next port is another's."""
    with pair(Guest(name)) as machines:
        for port, value in WIDE:
            machines.do(port_out(port, 2, value))
            for again, size in ((0x20, 2), (0x21, 1), (0xA0, 2), (0x4D0, 1), (0x4D1, 1), (0x71, 1)):
                machines.same(port_in(again, size), f"{again:#x} after {value:#x} to {port:#x}")


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
