"""PCI where devices come later: the room in the windows of bridges."""

from dataclasses import replace

import pytest

from fwbuild.abi import e820
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.recording import PciFunction
from fwbuild.sizes import GIB, MIB
from tests.support.pci_decode import io_window, memory_window, prefetch_window
from tests.support.pci_functions import (
    EXPRESS_AT,
    IO,
    MEMORY,
    RESERVE_AT,
    WIDE_PREFETCH,
    Reserve,
    bridge,
    endpoint,
)
from tests.support.pci_judge import buses, complaints, named, unassigned
from tests.support.pci_machine import WITH_PCI, memory_of, roots, run, slot

FOUR = 4096
TWO = 2 * MIB
STORAGE = 1
# PCI Express Base Specification 3.0, 7.8.2
ROOT_PORT, UPSTREAM, DOWNSTREAM, TO_PCI = 4, 5, 6, 7


def sizes(machine: Machine) -> dict[int, list[int]]:
    """The windows of the bridge before each bus: I/O, memory, prefetchable; 0 for none."""
    found = {}
    for bus in buses(machine):
        if bus.bridge:
            found[bus.number] = [
                w.limit + 1 - w.base if w.open else 0
                for w in (
                    io_window(bus.bridge),
                    memory_window(bus.bridge),
                    prefetch_window(bus.bridge),
                )
            ]
    return found


# the bridge's kind of express port, the room that it has where nothing is said
DEFAULTS = {
    "conventional": (None, [FOUR, TWO, TWO]),
    "express to PCI": (TO_PCI, [FOUR, TWO, TWO]),
    "root port": (ROOT_PORT, [0, TWO, TWO]),
    "upstream port": (UPSTREAM, [0, TWO, TWO]),
    "downstream port": (DOWNSTREAM, [0, TWO, TWO]),
}


@WITH_PCI
@pytest.mark.parametrize("kind", DEFAULTS)
def test_room_where_nothing_is_said(name: str, kind: str) -> None:
    port, expected = DEFAULTS[kind]
    machine = run(name, [bridge((slot(3),), port=port)])
    assert complaints(machine) == []
    assert sizes(machine) == {1: expected}


@WITH_PCI
def test_another_capability_is_no_port(name: str) -> None:
    found = bridge((slot(3),), port=ROOT_PORT)
    config = bytearray(found.config)
    config[EXPRESS_AT] = 0x05  # MSI
    machine = run(name, [replace(found, config=bytes(config))])
    assert sizes(machine) == {1: DEFAULTS["conventional"][1]}


@WITH_PCI
def test_a_line_tells_all_of_a_windows_size(name: str) -> None:
    machine = run(name, [bridge((slot(3),), reserve=Reserve(prefetch_64=1 << 45))])
    assert named(machine) == [(0, slot(3), 0x24, 1 << 45)]


# what is said, the windows
HINTS: dict[str, tuple[Reserve, list[int]]] = {
    "all": (
        Reserve(io=0x1000, memory=MIB, prefetch_64=64 * MIB), [FOUR, MIB, 64 * MIB]),
    "rounded up to the register's units": (
        Reserve(io=1, memory=MIB + 1, prefetch_64=1), [FOUR, 2 * MIB, MIB]),
    "much": (Reserve(io=0x2000, memory=8 * MIB, prefetch_64=64 * GIB), [0x2000, 8 * MIB, 64 * GIB]),
    "32-bit prefetchable": (Reserve(prefetch_32=32 * MIB), [FOUR, TWO, 32 * MIB]),
    "no I/O": (Reserve(io=0), [0, TWO, TWO]),
    "nothing of any kind": (Reserve(io=0, memory=0, prefetch_64=0), [0, 0, 0]),
    "only buses": (Reserve(bus=3), [FOUR, TWO, TWO]),
    "by another vendor": (Reserve(io=0, memory=8 * MIB, vendor=0x8086), [FOUR, TWO, TWO]),
}  # fmt: skip


@WITH_PCI
@pytest.mark.parametrize("poison", [0, 0xA5])
@pytest.mark.parametrize("hint", HINTS)
def test_hints(name: str, hint: str, poison: int) -> None:
    reserve, expected = HINTS[hint]
    machine = run(name, [bridge((slot(3),), reserve=reserve)], poison=poison)
    assert complaints(machine) == []
    assert sizes(machine) == {1: expected}
    assert named(machine) == []


@WITH_PCI
def test_hints_of_a_port(name: str) -> None:
    """A capability before the hint does not hide it; a port that is asked for I/O has it."""
    machine = run(name, [bridge((slot(3),), port=ROOT_PORT, reserve=Reserve(io=FOUR))])
    assert sizes(machine) == {1: [FOUR, TWO, TWO]}


@WITH_PCI
def test_a_port_whose_hint_comes_first(name: str) -> None:
    """The capability behind the hint tells that it is one: without a word it has no I/O."""
    found = bridge((slot(3),), port=ROOT_PORT, reserve=Reserve(memory=MIB))
    config = bytearray(found.config)
    config[0x34], config[RESERVE_AT + 1], config[EXPRESS_AT + 1] = RESERVE_AT, EXPRESS_AT, 0
    machine = run(name, [replace(found, config=bytes(config))])
    assert sizes(machine) == {1: [0, MIB, TWO]}


@WITH_PCI
@pytest.mark.parametrize("behind, expected", [
    ({0: (IO, 32), 1: (MEMORY, 4096)}, [FOUR, 8 * MIB, 64 * MIB]),
    ({0: (IO, 256), 1: (MEMORY, 16 * MIB), 2: (WIDE_PREFETCH, GIB)}, [FOUR, 16 * MIB, GIB]),
])  # fmt: skip
def test_devices_and_room(
    name: str, behind: dict[int, tuple[int, int]], expected: list[int]
) -> None:
    """A window is as large as what is there needs, or as is asked for if that is more."""
    reserve = Reserve(memory=8 * MIB, prefetch_64=64 * MIB)
    machine = run(name, [bridge((slot(3),), reserve=reserve), endpoint((slot(3), slot(1)), behind)])
    assert complaints(machine) == []
    assert unassigned(machine) == set()
    assert sizes(machine) == {1: expected}


@WITH_PCI
def test_a_port_has_io_where_a_device_wants_it(name: str) -> None:
    """It has no room for more of it."""
    device = endpoint((slot(3), slot(0)), {0: (IO, 32)})
    machine = run(name, [bridge((slot(3),), port=ROOT_PORT), device])
    assert complaints(machine) == []
    assert unassigned(machine) == set()
    assert sizes(machine) == {1: [FOUR, TWO, TWO]}
    assert named(machine) == []


@WITH_PCI
def test_bridges_without_a_window_take_no_room(name: str) -> None:
    """Those of 20 would be more than there are I/O addresses."""
    without = [bridge((slot(device),), io=False) for device in range(4, 24)]
    machine = run(name, [*without, bridge((slot(24),))])
    assert sizes(machine)[21] == [FOUR, TWO, TWO]


@WITH_PCI
def test_a_large_window_beside_one_that_loses(name: str) -> None:
    """Memory comes after I/O, of which there is too little here."""
    large = endpoint((slot(4), slot(0)), {0: (WIDE_PREFETCH, 8 * GIB)})
    machine = run(
        name, [bridge((slot(3),), reserve=Reserve(io=0x10000)), bridge((slot(4),)), large]
    )
    assert named(machine) == [(0, slot(3), 0x1C, 0x10000)]
    assert sizes(machine)[2][2] == 8 * GIB
    assert unassigned(machine) == set()


@WITH_PCI
def test_room_adds_up(name: str) -> None:
    """Behind an extra root bus too, where no guest can open a window later."""
    machine = run(
        name,
        [
            bridge((slot(3),)),
            bridge((0,), root=64),
            bridge((slot(1),), root=64, wide=False),
            bridge((slot(2),), root=64),
            bridge((slot(2), slot(1)), root=64),
            bridge((slot(2), slot(2)), root=64),
        ],
        files=(roots(1),),
    )
    assert complaints(machine) == []
    found = sizes(machine)
    found[66].pop()  # its prefetchable window is none
    assert found == {
        1: [FOUR, TWO, TWO],
        65: [FOUR, TWO, TWO],
        66: [FOUR, TWO],
        67: [2 * FOUR, 2 * TWO, 2 * TWO],
        68: [FOUR, TWO, TWO],
        69: [FOUR, TWO, TWO],
    }


def ranges(machine: Machine) -> dict[int, int]:
    """The last bus behind the bridge before each bus."""
    return {b.number: b.bridge.config[0x1A] for b in buses(machine) if b.bridge}


@WITH_PCI
@pytest.mark.parametrize("asked, expected", [
    ((3, None, None), {1: 4, 5: 5, 65: 65}),  # further bridges come behind what is spared
    ((0, 0, None), {1: 1, 2: 2, 65: 65}),
    ((None, None, 7), {1: 1, 2: 2, 65: 72}),
    ((None, None, 200), {1: 1, 2: 2, 65: 255}),
    ((None, None, 190), {1: 1, 2: 2, 65: 255}),
    ((None, None, 191), {1: 1, 2: 2, 65: 255}),
    ((None, None, 300), {1: 1, 2: 2, 65: 255}),  # as many as there are
    ((None, None, 0xFFFFFFFE), {1: 1, 2: 2, 65: 255}),
    ((None, None, 0xFFFFFFFF), {1: 1, 2: 2, 65: 65}),  # nothing is said
])  # fmt: skip
def test_bus_numbers(name: str, asked: tuple[int | None, ...], expected: dict[int, int]) -> None:
    places: list[tuple[int, int]] = [(3, 0), (4, 0), (0, 64)]
    functions = [
        bridge((slot(d),), root=root, reserve=None if n is None else Reserve(bus=n))
        for (d, root), n in zip(places, asked, strict=True)
    ]
    machine = run(name, functions, files=(roots(1),))
    assert complaints(machine) == []
    assert ranges(machine) == expected


@WITH_PCI
def test_bus_numbers_stay_before_the_next_root_bus(name: str) -> None:
    functions = [bridge((slot(4),), reserve=Reserve(bus=500)), endpoint((0,), {}, root=64)]
    machine = run(name, functions, files=(roots(1),))
    assert complaints(machine) == []
    assert ranges(machine) == {1: 63}


@WITH_PCI
def test_bus_numbers_count_from_the_bridge(name: str) -> None:
    """Bridges downstream use up the bus numbers that a bridge reserves."""
    machine = run(
        name,
        [
            bridge((slot(3),), reserve=Reserve(bus=3)),
            bridge((slot(3), slot(1))),
            bridge((slot(3), slot(2)), reserve=Reserve(bus=1)),
            bridge((slot(4),)),
        ],
    )
    assert ranges(machine) == {1: 4, 2: 2, 3: 4, 5: 5}


@WITH_PCI
def test_hot_plug_takes_what_is_left(name: str) -> None:
    """32-bit BARs that fill the window below 4 GiB but for 4 MiB have their addresses."""
    bars = [0x1000, *(power << 20 for power in (512, 256, 128, 64, 32, 8))]
    memory = 3072 * MIB if name == "pc" else 512 * MIB  # the window begins at 3 GiB
    machine = run(
        name,
        [
            *(endpoint((slot(3 + i),), {0: (MEMORY, size)}) for i, size in enumerate(bars)),
            *(bridge((slot(d),), root=64) for d in range(32)),
        ],
        files=(roots(1),),
        memory=memory,
    )
    assert complaints(machine) == []
    assert unassigned(machine) == set()
    assert named(machine) == []  # nobody has asked for what bridges lack


@WITH_PCI
def test_a_hint_that_cannot_be_met(name: str) -> None:
    """It is named, and what is there keeps its addresses."""
    machine = run(
        name,
        [
            bridge((slot(3),), reserve=Reserve(io=0x20000, memory=3 * GIB)),
            endpoint((slot(3), slot(1)), {0: (IO, 32), 1: (MEMORY, MIB)}),
        ],
    )
    assert complaints(machine) == []
    assert unassigned(machine) == set()
    assert sizes(machine)[1][:2] == [FOUR, MIB]
    assert sorted(named(machine)) == [
        (0, slot(3), 0x1C, 0x20000),
        (0, slot(3), 0x20, 3 * GIB),
    ]


# BARs behind a bridge, and the hint: 2^64 bytes or nearly; what is named
HUGE: dict[str, tuple[dict[int, tuple[int, int]], Reserve, set[tuple[int, int, int]]]] = {
    "two halves": (
        {0: (WIDE_PREFETCH, 1 << 63), 2: (WIDE_PREFETCH, 1 << 63)},
        Reserve(),
        {(1, slot(1), 0x10), (1, slot(1), 0x18)},
    ),
    "all but two bytes": ({}, Reserve(prefetch_64=(1 << 64) - 2), {(0, slot(3), 0x24)}),
}


@WITH_PCI
@pytest.mark.parametrize("case", HUGE)
def test_a_window_of_all_that_can_be_addressed(name: str, case: str) -> None:
    """It has no place, and wraps to no small one."""
    bars, reserve, expected = HUGE[case]
    machine = run(name, [bridge((slot(3),), reserve=reserve), endpoint((slot(3), slot(1)), bars)])
    assert complaints(machine) == []
    assert unassigned(machine) == {(1, slot(1), 0x10 + 4 * number) for number in bars}
    assert {(b, d, r) for b, d, r, _ in named(machine)} == expected


@WITH_PCI
@pytest.mark.parametrize("keys, more", [([62] * 4, []), ([62] * 3, list(range(19, 62)))])
def test_a_window_of_2_to_the_64(name: str, keys: list[int], more: list[int]) -> None:
    """On a CPU that no architecture has: BARs behind a bridge add up to as much, or do so in whole
    MiB. There is room for one of four of 2^62 bytes, or for all that are smaller."""
    bars = [(WIDE_PREFETCH, 1 << key) for key in keys + more]
    devices = [
        endpoint((slot(3), slot(n // 3)), dict(zip((0, 2, 4), bars[n : n + 3], strict=False)))
        for n in range(0, len(bars), 3)
    ]
    memmap = memory_of([(0, 512 * MIB, e820.Type.RAM)])
    machine = run(name, [bridge((slot(3),)), *devices], memmap=memmap, bits=63)
    assert complaints(machine) == []
    assert len(unassigned(machine)) == 3


@WITH_PCI
def test_room_is_aligned_to_its_power_of_two(name: str) -> None:
    """A device that comes later may be as large as the room."""
    size = 64 * GIB
    machine = run(name, [bridge((slot(3),), reserve=Reserve(prefetch_64=size))])
    (found,) = [b.bridge for b in buses(machine) if b.bridge]
    assert prefetch_window(found).base == size


@WITH_PCI
@pytest.mark.parametrize("rooms", [(8, 1), (1, 8)])
def test_room_below_4_gib_is_aligned_too(name: str, rooms: tuple[int, int]) -> None:
    reserves = [Reserve(memory=n * MIB) for n in rooms]
    machine = run(name, [bridge((slot(3 + n),), reserve=r) for n, r in enumerate(reserves)])
    found = [memory_window(b.bridge).base for b in buses(machine) if b.bridge]
    assert [base % (n * MIB) for base, n in zip(found, rooms, strict=True)] == [0, 0]


@pytest.mark.parametrize("port", [ROOT_PORT, DOWNSTREAM])
def test_below_a_port_there_is_one_device(port: int) -> None:
    """Nobody else is looked for."""
    machine = run("pc", [bridge((slot(3),), port=port)])
    addresses = [
        a.value for a in machine.outcome.accesses if (a.direction, a.port) == ("out", 0xCF8)
    ]
    assert {at >> 11 & 31 for at in addresses if at >> 16 & 0xFF == 1} == {0}


@WITH_PCI
def test_an_express_to_pci_bridge_has_32_devices(name: str) -> None:
    device = endpoint((slot(3), slot(31)), {0: (MEMORY, 4096)})
    machine = run(name, [bridge((slot(3),), port=TO_PCI), device])
    assert unassigned(machine) == set()
    assert complaints(machine) == []


def test_many_functions_end_soon() -> None:
    """48 devices behind ports that all ask for more than there is."""
    functions: list[PciFunction] = []
    for device in range(3, 9):
        for function in range(8):
            path = (slot(device, function),)
            reserve = Reserve(io=FOUR, memory=512 * MIB, prefetch_64=64 * GIB)
            many = function == 0
            functions.append(bridge(path, reserve=reserve, port=ROOT_PORT, multifunction=many))
            bars = {0: (MEMORY, 4096), 4: (WIDE_PREFETCH, 1 << 14)}
            functions.append(endpoint((*path, 0), bars, kind=STORAGE))
    machine = run("q35", functions)
    assert complaints(machine) == []
    assert unassigned(machine) == set()
