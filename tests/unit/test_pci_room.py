"""PCI where devices come later, and where there are more than fit."""

import re
from dataclasses import replace

import pytest

from fwbuild.emulator.machine import Machine
from fwbuild.emulator.recording import PciFunction
from fwbuild.sizes import GIB, MIB
from tests.support.pci_decode import io_window, memory_window, prefetch_window
from tests.support.pci_functions import (
    EXPRESS_AT,
    IO,
    MEMORY,
    WIDE,
    WIDE_PREFETCH,
    Reserve,
    bridge,
    endpoint,
)
from tests.support.pci_judge import buses, complaints, unassigned
from tests.support.pci_machine import WITH_PCI, roots, run, slot

FOUR = 4096
TWO = 2 * MIB
LINE = r"no room for PCI (..):(..)\.(.) register (..) size (\w{16})"
STORAGE, NETWORK, DISPLAY = 1, 2, 3
UNCACHED = {"pc": 0x80000000, "q35": 0xC0000000}  # where MTRRs are, and PCI begins
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


def named(machine: Machine) -> list[tuple[int, int, int, int]]:
    """(bus, devfn, register, size) of each line about what has found no place."""
    rows = re.findall(LINE, machine.outcome.console)
    return [
        (int(bus, 16), slot(int(d, 16), int(f)), int(register, 16), int(size, 16))
        for bus, d, f, register, size in rows
    ]


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


def crowd(size: int, count: int, kind: int) -> list[PciFunction]:
    """Devices of one 32-bit BAR each, on bus 0 from device 3 on."""
    return [endpoint((slot(3 + n),), {0: (MEMORY, size)}, kind=kind) for n in range(count)]


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


@WITH_PCI
def test_a_rom_loses_before_a_device(name: str) -> None:
    """There is room for all but the ROM, which no guest needs here."""
    hole, rom = 0xFEC00000 - UNCACHED[name], 8 * MIB  # up to the I/O APIC; 4 MiB are left
    sizes = [1 << bit for bit in range(31, 22, -1) if hole & 1 << bit]
    functions = [
        endpoint((slot(3 + n),), {0: (MEMORY, size)}, kind=DISPLAY) for n, size in enumerate(sizes)
    ]
    functions.append(endpoint((slot(20),), {0: (IO, 32)}, kind=DISPLAY, rom=rom))
    machine = run(name, functions)
    assert complaints(machine) == []
    assert named(machine) == [(0, slot(20), 0x30, rom)]


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
        *crowd(1 << 31, 1, kind=NETWORK),
        bridge((slot(22),), bar=1 << 31),
        endpoint((slot(22), slot(1)), {0: (MEMORY, 4096), 1: (IO, 32)}, kind=STORAGE),
    ]
    machine = run(name, functions)
    assert complaints(machine) == []
    assert (0, slot(22), 0x10) in unassigned(machine)
    assert (0, slot(22), 0x10, 1 << 31) in named(machine)
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
