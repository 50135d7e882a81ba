"""PCI where there are more functions than fit: who loses, and who gets what is left."""

import pytest

from fwbuild.abi.e820 import FOUR_GIB
from fwbuild.emulator.recording import PciFunction
from fwbuild.sizes import GIB, MIB
from tests.support.pci_decode import io_window, memory_window
from tests.support.pci_functions import (
    IO,
    MEMORY,
    WIDE,
    WIDE_PREFETCH,
    Reserve,
    bridge,
    endpoint,
)
from tests.support.pci_judge import buses, complaints, named, unassigned
from tests.support.pci_machine import WITH_PCI, above, run, slot

STORAGE, NETWORK, DISPLAY = 1, 2, 3
UNCACHED = {"pc": 0x80000000, "q35": 0xC0000000}  # where MTRRs are, and PCI begins


def crowd(size: int, count: int, kind: int) -> list[PciFunction]:
    """Devices of one 32-bit BAR each, on bus 0 from device 3 on."""
    return [endpoint((slot(3 + n),), {0: (MEMORY, size)}, kind=kind) for n in range(count)]


def filling(name: str) -> list[PciFunction]:
    """Displays whose BARs leave 4 MiB of what there is up to the I/O APIC."""
    hole = 0xFEC00000 - UNCACHED[name]
    sizes = [1 << bit for bit in range(31, 22, -1) if hole & 1 << bit]
    return [
        endpoint((slot(3 + n),), {0: (MEMORY, size)}, kind=DISPLAY) for n, size in enumerate(sizes)
    ]


@WITH_PCI
def test_who_loses(name: str) -> None:
    """Storage and network, on the root bus and behind a bridge, keep what a display of 256 MiB
    and a crowd of others would take."""
    functions = [
        *crowd(256 * MIB, 14, kind=DISPLAY),
        endpoint((slot(20),), {0: (MEMORY, 4096), 1: (IO, 32)}, kind=STORAGE),
        endpoint((slot(21),), {0: (MEMORY, 128 * 1024)}, kind=NETWORK, rom=1 << 18),
        bridge((slot(22),)),
        endpoint((slot(22), slot(1)), {0: (MEMORY, 256 * MIB)}, kind=STORAGE),
        endpoint((slot(22), slot(2)), {0: (MEMORY, 16 * MIB)}, kind=NETWORK),
        endpoint((slot(22), slot(3)), {0: (MEMORY, 4096)}, kind=DISPLAY),
    ]
    machine = run(name, functions)
    assert complaints(machine) == []
    lost = unassigned(machine)
    assert lost and all(bus == 0 and devfn < slot(17) for bus, devfn, _ in lost)
    assert {(b, d, r) for b, d, r, _ in named(machine)} == lost
    assert {size for *_, size in named(machine)} == {256 * MIB}
    # no more than must
    places = (0xFEC00000 - UNCACHED[name]) // (256 * MIB)
    assert 14 - len(lost) >= places - 2  # two are for the window


def test_the_larger_loses_before_what_is_found_long_after_it() -> None:
    """960 small BARs are between the two: the larger one alone loses."""
    quarter = (FOUR_GIB - UNCACHED["q35"]) // 4
    small = dict.fromkeys(range(6), (MEMORY, 16))
    crowded = [
        endpoint((slot(4 + n // 8, n % 8),), small, kind=DISPLAY, multifunction=True)
        for n in range(160)
    ]
    functions = [
        endpoint((slot(3),), {0: (MEMORY, 2 * quarter)}, kind=DISPLAY),
        *crowded,
        endpoint((slot(24),), {0: (MEMORY, quarter)}, kind=DISPLAY),
        endpoint((slot(25),), {0: (MEMORY, quarter)}, kind=STORAGE),
    ]
    machine = run("q35", functions)
    assert complaints(machine) == []
    assert unassigned(machine) == {(0, slot(3), 0x10)}


@WITH_PCI
def test_the_line_names_the_function(name: str) -> None:
    functions = [
        endpoint((slot(20),), {}, multifunction=True),
        endpoint((slot(20, 5),), {1: (MEMORY, 2 * GIB)}),
    ]
    assert named(run(name, functions)) == [(0, slot(20, 5), 0x14, 2 * GIB)]


@WITH_PCI
def test_a_rom_loses_before_a_device(name: str) -> None:
    """There is room for all but the ROM, which no guest needs here."""
    rom = 8 * MIB
    found = endpoint((slot(20),), {0: (IO, 32), 1: (MEMORY, 16)}, kind=DISPLAY, rom=rom)
    machine = run(name, [*filling(name), found])
    assert complaints(machine) == []
    assert named(machine) == [(0, slot(20), 0x30, rom)]


# the hints of two bridges and a ROM, in the order in which they are found; what loses
ROOMS: dict[str, tuple[list[PciFunction], tuple[int, int, int, int]]] = {
    "the larger of two": (
        [bridge((slot(20),), reserve=Reserve(memory=4 * MIB, prefetch_64=0)),
         bridge((slot(21),), reserve=Reserve(memory=MIB, prefetch_64=0))],
        (0, slot(20), 0x20, 4 * MIB)),
    "room before a device": (
        [bridge((slot(20),), reserve=Reserve(memory=3 * MIB, prefetch_64=0)),
         endpoint((slot(21),), {0: (MEMORY, 2 * MIB)}, kind=DISPLAY)],
        (0, slot(20), 0x20, 3 * MIB)),
    "a ROM": (
        [endpoint((slot(20),), {}, rom=2 * MIB),
         bridge((slot(21),), reserve=Reserve(memory=3 * MIB, prefetch_64=0))],
        (0, slot(20), 0x30, 2 * MIB)),
}  # fmt: skip


@WITH_PCI
@pytest.mark.parametrize("case", ROOMS)
def test_which_room_loses(name: str, case: str) -> None:
    """4 MiB are left for them, on q35 less what SATA takes."""
    functions, lost = ROOMS[case]
    machine = run(name, [*filling(name), *functions])
    assert complaints(machine) == []
    assert named(machine) == [lost]


@WITH_PCI
def test_the_largest_of_a_rank_loses(name: str) -> None:
    functions = [
        *crowd(512 * MIB, 8, kind=STORAGE),
        *(endpoint((slot(20 + n),), {0: (MEMORY, 4096)}, kind=STORAGE) for n in range(4)),
    ]
    machine = run(name, functions)
    assert complaints(machine) == []
    lost = unassigned(machine)
    assert lost and all(devfn < slot(11) for _, devfn, _ in lost)


@WITH_PCI
def test_a_bridge_without_its_own_bar_forwards(name: str) -> None:
    """pci-bridge's BAR is of its hot-plug controller."""
    functions = [
        *crowd(512 * MIB, 3, kind=NETWORK),
        bridge((slot(22),), bar=512 * MIB),
        endpoint((slot(22), slot(1)), {0: (MEMORY, 4096), 1: (IO, 32)}, kind=STORAGE),
    ]
    machine = run(name, functions)
    assert complaints(machine) == []
    assert (0, slot(22), 0x10) in unassigned(machine)
    assert (0, slot(22), 0x10, 512 * MIB) in named(machine)
    assert not any(bus for bus, *_ in unassigned(machine))
    (behind,) = [b for b in buses(machine) if b.bridge]
    assert behind.bridge and behind.bridge.config[4] & 7 == 7


@WITH_PCI
def test_above_all_ram_there_is_no_room(name: str) -> None:
    """A BAR that could go above 4 GiB goes below when there is no room above."""
    functions = [
        endpoint((slot(3),), {0: (WIDE, 64 * GIB)}, kind=DISPLAY),
        endpoint((slot(4),), {0: (WIDE, MIB)}, kind=STORAGE),
    ]
    machine = run(name, functions, memory=1 << 40)
    assert complaints(machine) == []
    assert unassigned(machine) == {(0, slot(3), 0x10)}
    assert named(machine) == [(0, slot(3), 0x10, 64 * GIB)]


@WITH_PCI
def test_a_device_gets_what_larger_ones_leave_above(name: str) -> None:
    """12 GiB above RAM are too few for two disks of 8 GiB. The display loses before one of them
    does, and fits behind the other then. Below 4 GiB there is no room for it."""
    memmap = above(48 * GIB, 60 * GIB)
    functions = [
        endpoint((slot(3),), {0: (MEMORY, GIB if name == "pc" else MIB)}, kind=NETWORK),
        endpoint((slot(4),), {0: (WIDE, 8 * GIB)}, kind=STORAGE),
        endpoint((slot(5),), {0: (WIDE, 8 * GIB)}, kind=STORAGE),
        endpoint((slot(6),), {0: (WIDE, GIB)}, kind=DISPLAY),
    ]
    machine = run(name, functions, memmap=memmap)
    assert complaints(machine) == []
    (lost,) = unassigned(machine)
    assert lost in {(0, slot(4), 0x10), (0, slot(5), 0x10)}


@WITH_PCI
def test_room_below_4_gib_does_not_lose_for_what_is_short_above(name: str) -> None:
    functions = [
        bridge((slot(3),)),
        *(endpoint((slot(4 + n),), {0: (WIDE, 8 * GIB)}, kind=STORAGE) for n in range(2)),
    ]
    machine = run(name, functions, memmap=above(48 * GIB, 60 * GIB))
    assert complaints(machine) == []
    (behind,) = [b.bridge for b in buses(machine) if b.bridge]
    assert io_window(behind).open and memory_window(behind).open


@WITH_PCI
def test_what_has_lost_stays_in_its_window(name: str) -> None:
    """One above 4 GiB holds the disk; the display behind the same bridge has no place in it."""
    functions = [
        bridge((slot(3),)),
        endpoint((slot(3), slot(1)), {0: (WIDE_PREFETCH, 8 * GIB)}, kind=STORAGE),
        endpoint((slot(3), slot(2)), {0: (WIDE_PREFETCH, 16 * GIB)}, kind=DISPLAY),
    ]
    machine = run(name, functions, memmap=above(40 * GIB, 63 * GIB))
    assert complaints(machine) == []
    assert unassigned(machine) == {(1, slot(2), 0x10)}


@WITH_PCI
def test_a_large_one_that_boots_the_guest_goes_before_a_small_one(name: str) -> None:
    memmap = above(192 * GIB, 244 * GIB)
    functions = [
        endpoint((slot(4),), {0: (WIDE, 32 * GIB)}, kind=NETWORK),
        endpoint((slot(5),), {0: (WIDE, 16 * GIB)}, kind=DISPLAY),
        endpoint((slot(6),), {0: (WIDE, 16 * GIB)}, kind=DISPLAY),
    ]
    machine = run(name, functions, memmap=memmap)
    assert complaints(machine) == []
    (lost,) = unassigned(machine)
    assert lost in {(0, slot(5), 0x10), (0, slot(6), 0x10)}
