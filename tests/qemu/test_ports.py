"""The emulated devices at ports against the real ones: the same accesses, the same answers."""

from functools import partial

import pytest

from fwbuild.guest import Guest
from fwbuild.machines import MACHINES
from tests.support.offered import is_later_than
from tests.support.qtest_pair import Side, pair, port_in, port_out, reading, writing

pytestmark = pytest.mark.qemu


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
