"""PCI where the memory map bounds it: the apertures of the root buses keep clear of all it has."""

from dataclasses import dataclass, field, replace

import pytest

from fwbuild.abi import chipset, e820
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.recording import File, PciFunction
from fwbuild.sizes import GIB, MIB
from tests.support.pci_decode import bars
from tests.support.pci_functions import MEMORY, WIDE, WIDE_PREFETCH, bridge, endpoint
from tests.support.pci_judge import buses, complaints, unassigned
from tests.support.pci_machine import WITH_PCI, memory_of, roots, run, slot

RAM, RESERVED = int(e820.Type.RAM), int(e820.Type.RESERVED)
FOUR_GIB = e820.FOUR_GIB
LOW_END = int(chipset.DEVICE_WINDOW_END)
SATA = (0, int(chipset.Devfn.ICH9_SATA), 0x24)
SMALL, LARGE = (0, slot(3), 0x10), (0, slot(4), 0x10)
# 32 bits of address, and more than fits below 4 GiB
FUNCTIONS = [
    endpoint((slot(3),), {0: (MEMORY, 4096)}),
    endpoint((slot(4),), {0: (WIDE_PREFETCH, 16 * GIB)}),
]
Map = list[tuple[int, int, int]]


def ends(address: int) -> File:
    """What QEMU says of where hot-plugged memory ends."""
    return File("etc/reserved-memory-end", 0x3001, 8, address.to_bytes(8, "little"))


@dataclass
class Case:
    """What the map has besides 512 MiB, files, where the 64-bit BAR is, and which have no place."""

    more: Map
    high: int
    files: tuple[File, ...] = ()
    lost: set[tuple[int, int, int]] = field(default_factory=set)


CASES = {
    "nothing": Case([], 16 * GIB),
    "up to the APICs": Case(
        [(0xE0000000, LOW_END - 0xE0000000, RESERVED)], 16 * GIB, lost={SMALL}),
    "across 4 GiB": Case(
        [(0xF0000000, 17 * GIB - 0xF0000000, RESERVED)], 32 * GIB, lost={SMALL}),
    "from the APICs on": Case([(LOW_END, 0x1000, RESERVED)], 16 * GIB),
    "between the APICs and the ROM": Case([(0xFEF10000, 0x1000, RESERVED)], 16 * GIB),
    "from 4 GiB on": Case([(FOUR_GIB, 13 * GIB, RESERVED)], 32 * GIB),
    "an end above 4 GiB": Case([(32 * GIB, GIB, RESERVED)], 16 * GIB),
    "an end too early": Case([(31 * GIB, GIB, RESERVED)], 0, lost={LARGE}),
    "an end in the first 4 GiB of them": Case([(6 * GIB, GIB, RESERVED)], 0, lost={LARGE}),
    "two ends": Case([(31 * GIB, GIB, RESERVED), (64 * GIB, GIB, RESERVED)], 0, lost={LARGE}),
    "two ends, the first is far": Case(
        [(100 * GIB, GIB, RESERVED), (200 * GIB, GIB, RESERVED)], 16 * GIB),
    "hot-plug behind what is reserved": Case(
        [(8 * GIB, GIB, RESERVED)], 48 * GIB, (ends(33 * GIB),)),
    "hot-plug far behind what is reserved": Case(
        [(6 * GIB, GIB, RESERVED)], 48 * GIB, (ends(33 * GIB),)),
    "hot-plug behind RAM": Case([(FOUR_GIB, GIB, RAM)], 48 * GIB, (ends(33 * GIB),)),
    "hot-plug ends where RAM does": Case([(FOUR_GIB, 29 * GIB, RAM)], 48 * GIB, (ends(33 * GIB),)),
    "hot-plug's end in a file of 32 KiB": Case(
        [], 48 * GIB, (File("etc/reserved-memory-end", 0x3001, 0x8000,
                            (33 * GIB).to_bytes(8, "little").ljust(0x8000, b"\xff")),)),
    "hot-plug as far as a CPU of 40 bits reaches": Case(
        [], 0, (ends(1 << 40),), lost={LARGE}),
    "hot-plug to the end of all addresses": Case(
        [], 0, (ends((1 << 64) - 1),), lost={LARGE}),
}  # fmt: skip


def address(machine: Machine, where: tuple[int, int, int]) -> int:
    bus, devfn, register = where
    (function,) = [b.functions[devfn] for b in buses(machine) if b.number == bus]
    return next(bar.address for bar in bars(function) if bar.register == register)


@WITH_PCI
@pytest.mark.parametrize("case", CASES)
def test_map(name: str, case: str) -> None:
    row = CASES[case]
    memmap = memory_of([(0, 512 * MIB, RAM), *row.more])
    machine = run(name, FUNCTIONS, files=row.files, memmap=memmap)
    assert complaints(machine) == []
    # q35's SATA has a BAR of 32 bits too
    assert unassigned(machine) - {SATA} == row.lost
    assert (SATA in unassigned(machine)) == (name == "q35" and SMALL in row.lost)
    assert address(machine, LARGE) == row.high


def test_no_more_moves_than_must() -> None:
    """16 MiB are too much below 4 GiB: the BAR of 16 MiB that may goes above, the one of 4 MiB
    that may stays."""
    fixed = [1024, 512, 256, 128, 64, 32, 8]
    functions = [
        *(endpoint((slot(3 + i),), {0: (MEMORY, n * MIB)}) for i, n in enumerate(fixed)),
        endpoint((slot(20),), {0: (WIDE, 16 * MIB)}),
        endpoint((slot(21),), {0: (WIDE, 4 * MIB)}),
    ]
    machine = run("pc", functions)  # PCI begins at 2 GiB: 2028 MiB
    assert complaints(machine) == []
    assert unassigned(machine) == set()
    assert address(machine, (0, slot(20), 0x10)) >= FOUR_GIB
    assert address(machine, (0, slot(21), 0x10)) < FOUR_GIB


@WITH_PCI
@pytest.mark.parametrize("large", [2 * GIB, 16 * GIB])
def test_what_fits_below_when_larger_ones_have_gone(name: str, large: int) -> None:
    """What the aperture below 4 GiB could never hold goes above alone, whatever gap it leaves."""
    functions = [
        *(endpoint((slot(3 + n),), {0: (WIDE, large)}) for n in range(2)),
        endpoint((slot(5),), {0: (WIDE, 4 * MIB)}),
    ]
    machine = run(name, functions)
    assert complaints(machine) == []
    assert all(address(machine, (0, slot(3 + n), 0x10)) >= FOUR_GIB for n in range(2))
    assert 0 < address(machine, (0, slot(5), 0x10)) < FOUR_GIB


@WITH_PCI
def test_a_window_of_more_than_4_gib_is_enough_to_move(name: str) -> None:
    """What is behind the bridge has 4.5 GiB, none of it too large for the aperture below: with
    the window gone, a BAR on the root bus stays."""
    three = dict.fromkeys((0, 2, 4), (WIDE_PREFETCH, 512 * MIB))
    functions = [
        bridge((slot(3),)),
        *(endpoint((slot(3), slot(n)), three) for n in range(3)),
        endpoint((slot(20),), {0: (WIDE, 4 * MIB)}),
    ]
    machine = run(name, functions)
    assert complaints(machine) == []
    assert unassigned(machine) == set()
    assert 0 < address(machine, (0, slot(20), 0x10)) < FOUR_GIB


@WITH_PCI
@pytest.mark.parametrize("place", [2, 12])
def test_what_moves_takes_its_gap_along(name: str, place: int) -> None:
    """A bridge's window has a unit more than its alignment, so the BAR behind it leaves a gap.
    Without the window, which may move, all else fits."""
    unit = MIB if name == "q35" else 2 * MIB
    fixed = [
        endpoint((slot(3 + n),), {0: (MEMORY, size * unit)}) for n, size in enumerate((512, 256))
    ]
    behind = endpoint(
        (slot(place), slot(1)), {0: (WIDE_PREFETCH, 128 * unit), 2: (WIDE_PREFETCH, MIB)}
    )
    last = endpoint((slot(8),), {0: (MEMORY, 128 * unit)})
    machine = run(name, [*fixed, bridge((slot(place),)), behind, last])
    assert complaints(machine) == []
    assert unassigned(machine) == set()


@WITH_PCI
def test_what_may_move_does_not_lose_for_what_may_not(name: str) -> None:
    """There is too little below 4 GiB alone: a larger BAR behind a bridge, which goes above, stays
    out of it."""
    display = 3
    functions: list[PciFunction] = [
        endpoint((slot(3 + n),), {0: (MEMORY, 256 * MIB)}, kind=display) for n in range(14)
    ]
    behind = endpoint((slot(22), slot(1)), {0: (WIDE_PREFETCH, 8 * GIB)}, kind=display)
    machine = run(name, [*functions, bridge((slot(22),)), behind])
    assert complaints(machine) == []
    lost = unassigned(machine)
    assert lost and all(bus == 0 for bus, *_ in lost)


@WITH_PCI
@pytest.mark.parametrize("hot_plug, start", [(5 * GIB, 5 * GIB), (3 * GIB, 4 * GIB)])
def test_1_gib_above_ram(name: str, hot_plug: int, start: int) -> None:
    """1 GiB is left from there on, and one more below 4 GiB on pc."""
    memmap = memory_of([(0, 512 * MIB, RAM), (start + GIB, GIB, RESERVED)])
    functions = [endpoint((slot(3 + n),), {0: (WIDE, GIB)}) for n in range(3)]
    machine = run(name, functions, files=(ends(hot_plug),), memmap=memmap)
    assert len(unassigned(machine)) == (1 if name == "pc" else 2)


# what the map and the files have above 4 GiB, and the whole GiB that comes next
UNEVEN: dict[str, tuple[Map, tuple[File, ...], int]] = {
    "hot-plug": ([], (ends(33 * GIB + MIB),), 34 * GIB),
    "RAM": ([(FOUR_GIB, 3 * GIB + MIB, RAM)], (), 8 * GIB),
    "RAM of some GiB": ([(FOUR_GIB, 3 * GIB, RAM)], (), 7 * GIB),
}


@WITH_PCI
@pytest.mark.parametrize("case", UNEVEN)
def test_where_the_aperture_above_ram_begins(name: str, case: str) -> None:
    more, files, start = UNEVEN[case]
    memmap = memory_of([(0, 512 * MIB, RAM), *more])
    functions = [endpoint((slot(3 + n),), {0: (WIDE, GIB)}) for n in range(3)]
    machine = run(name, functions, files=files, memmap=memmap)
    assert complaints(machine) == []
    places = {address(machine, (0, slot(3 + n), 0x10)) for n in range(3)}
    assert min(at for at in places if at >= FOUR_GIB) == start


@WITH_PCI
def test_1_gib_before_the_last_address(name: str) -> None:
    """Of a CPU of 40 bits, where the map says no end."""
    functions = [endpoint((slot(3 + n),), {0: (WIDE, GIB)}) for n in range(3)]
    memmap = memory_of([(0, 512 * MIB, RAM)])
    machine = run(name, functions, files=(ends((1 << 40) - GIB),), memmap=memmap)
    assert complaints(machine) == []
    assert len(unassigned(machine)) == (1 if name == "pc" else 2)


@WITH_PCI
def test_root_buses_that_are_not_there(name: str) -> None:
    machine = run(name, FUNCTIONS, files=(roots(3),))
    assert complaints(machine) == []
    assert unassigned(machine) == set()


@WITH_PCI
def test_the_bus_before_a_root_bus_is_free(name: str) -> None:
    """Two are said to be there, and one is: bus 2. The bridge of bus 0 leads to bus 1."""
    functions = [
        bridge((slot(3),)),
        endpoint((slot(3), slot(1)), {0: (MEMORY, MIB)}),
        endpoint((slot(0),), {0: (MEMORY, MIB)}, root=2),
    ]
    machine = run(name, functions, files=(roots(2),))
    assert complaints(machine) == []
    assert [b.number for b in buses(machine) if slot(1) in b.functions and b.bridge] == [1]


@WITH_PCI
def test_a_bridges_bar_is_needed_to_boot(name: str) -> None:
    display = 3
    crowd: list[PciFunction] = [
        endpoint((slot(3 + n),), {0: (MEMORY, 256 * MIB)}, kind=display) for n in range(8)
    ]
    machine = run(name, [*crowd, bridge((slot(22),), bar=256 * MIB)])
    assert complaints(machine) == []
    lost = unassigned(machine)
    assert lost and (0, slot(22), 0x10) not in lost


@WITH_PCI
def test_the_last_bar_has_no_upper_half(name: str) -> None:
    """A type of 64 bits is not to be believed there."""
    plain = endpoint((slot(3),), {4: (MEMORY, 4096), 5: (MEMORY, MIB)})
    config = bytearray(plain.config)
    config[0x24] = WIDE
    machine = run(name, [replace(plain, config=bytes(config)), *FUNCTIONS[1:]])
    (function,) = [b.functions[slot(3)] for b in buses(machine) if b.number == 0]
    placed = function.read(0x24, 4) & ~0xF
    assert placed % MIB == 0 and placed >= 0x80000000
    assert function.read(0x28, 4) == 0
    assert function.read(4, 2) & 2
