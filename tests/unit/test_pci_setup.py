"""PCI in the emulated machine: every function gets its addresses, whatever there is.
test_pci_room.py has what is left free for devices that come later, test_pci_short.py who loses
where there is no room."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwbuild.emulator.pci.bridge import Bridge
from fwbuild.emulator.recording import File, PciFunction
from fwbuild.sizes import GIB, MIB
from tests.support.pci_decode import bars, memory_window
from tests.support.pci_functions import (
    IO,
    MEMORY,
    PATH,
    PREFETCH,
    WIDE,
    WIDE_PREFETCH,
    bridge,
    endpoint,
)
from tests.support.pci_judge import buses, complaints, unassigned
from tests.support.pci_machine import WITH_PCI, above, roots, run, slot


@WITH_PCI
def test_nothing_but_the_chipset(name: str) -> None:
    machine = run(name, [])
    assert complaints(machine) == []
    assert unassigned(machine) == set()


@WITH_PCI
def test_every_kind_of_bar(name: str) -> None:
    machine = run(
        name,
        [
            endpoint(
                (slot(3),),
                {0: (IO, 32), 1: (MEMORY, 16), 2: (WIDE_PREFETCH, 1 << 20), 4: (PREFETCH, 1 << 24)},
                rom=1 << 16,
            ),
            endpoint((slot(4),), {0: (WIDE, 1 << 14), 2: (IO, 256), 4: (WIDE_PREFETCH, 16 * GIB)}),
            bridge((slot(5),)),
            endpoint(
                (slot(5), slot(31)),
                {
                    0: (IO, 4),
                    1: (WIDE, 1 << 12),
                    3: (WIDE_PREFETCH, 8 * GIB),
                    5: (PREFETCH, 1 << 22),
                },
                rom=1 << 18,
            ),
            bridge((slot(5), slot(0))),
            bridge((slot(5), slot(0), slot(0))),
            endpoint((slot(5), slot(0), slot(0), slot(7)), {0: (MEMORY, 1 << 20)}),
        ],
    )
    assert complaints(machine) == []
    assert unassigned(machine) == set()


@WITH_PCI
@pytest.mark.parametrize("io_base", [0, 0xF0])  # QEMU's bridges and its ports
def test_bridges_without_some_windows(name: str, io_base: int) -> None:
    """Without the 64-bit window its BARs go to the other; without I/O they have no address."""
    machine = run(
        name,
        [
            bridge((slot(3),), io=False, io_base=io_base, wide=False),
            endpoint((slot(3), slot(1)), {0: (IO, 32), 2: (WIDE_PREFETCH, 1 << 20)}),
        ],
    )
    assert complaints(machine) == []
    assert unassigned(machine) == {(1, slot(1), 0x10)}


@WITH_PCI
@pytest.mark.parametrize(
    "flags, size",
    [
        (MEMORY, 2 * GIB),
        (WIDE_PREFETCH, 1 << 41),
        (WIDE_PREFETCH, 1 << 62),
        (WIDE, 1 << 63),
        (IO, 1 << 15),
        (IO, 1 << 31),
    ],
)
@pytest.mark.parametrize("behind", [False, True])
def test_absurd_sizes(name: str, flags: int, size: int, behind: bool) -> None:
    """Such a BAR has no address and is off; all else, behind the same bridge too, is not hurt."""
    path: PATH = (slot(3),) if behind else ()
    machine = run(
        name,
        [
            *([bridge(path)] if behind else []),
            endpoint((*path, slot(4)), {0: (flags, size), 2: (MEMORY, 4096), 3: (IO, 4)}),
            endpoint((*path, slot(5)), {0: (WIDE_PREFETCH, 1 << 20), 2: (IO, 32)}),
        ],
    )
    assert complaints(machine) == []
    assert unassigned(machine) == {(int(behind), slot(4), 0x10)}


@WITH_PCI
@pytest.mark.parametrize("flags, size", [(IO, 0x1E0), (MEMORY, 0x18000), (WIDE, 3 << 33)])
def test_after_a_broken_bar(name: str, flags: int, size: int) -> None:
    """A BAR whose writable bits have a gap gets no address; the one after it does."""
    other = (MEMORY, 4096) if flags == IO else (IO, 32)
    machine = run(name, [endpoint((slot(4),), {0: (flags, size), 2: other})])
    assert complaints(machine) == []
    assert unassigned(machine) == {(0, slot(4), 0x10)}


@WITH_PCI
def test_small_bars(name: str) -> None:
    """One in memory has its pages to itself, since a guest maps pages; ports lie together."""
    rows = {0: (MEMORY, 16), 1: (MEMORY, 16), 2: (IO, 4), 3: (IO, 4)}
    machine = run(name, [endpoint((slot(4),), rows)])
    function = machine.board.pci.roots[0].functions[slot(4)]
    one, two, *ports = [bar.address for bar in bars(function)]
    assert one % 0x1000 == 0
    assert abs(one - two) == 0x1000
    assert abs(ports[0] - ports[1]) == 4


@WITH_PCI
def test_a_bridge_of_32_bit_ports_and_a_cache_line(name: str) -> None:
    """Both are bits beside those that count, of the I/O base and of the header type."""
    found = bridge((slot(3),), io_base=0x01)
    config = found.config[:0x0C] + b"\x11\x41" + found.config[0x0E:]
    device = endpoint((slot(3), slot(1)), {0: (IO, 32), 1: (MEMORY, 4096)})
    machine = run(name, [replace(found, config=config), device])
    assert complaints(machine) == []
    assert unassigned(machine) == set()


@WITH_PCI
def test_bars_of_type_bits_alone(name: str) -> None:
    """Nothing of them takes a one: they are none, and the one behind them is not hurt."""
    none = {0: (IO, 1 << 32), 1: (PREFETCH, 1 << 32), 2: (WIDE_PREFETCH, 1 << 64)}
    functions = [
        endpoint((slot(4),), none | {4: (MEMORY, 4096), 5: (IO, 32)}),
        endpoint((slot(5),), {0: (WIDE, 4 * GIB)}),  # all that there is above 4 GiB
    ]
    machine = run(name, functions, memmap=above(8 * GIB, 12 * GIB))
    assert complaints(machine) == []
    root = machine.board.pci.roots[0].functions
    assert [bar.register for bar in bars(root[slot(4)]) if bar.address] == [0x20, 0x24]
    assert [bar.address for bar in bars(root[slot(5)])] == [8 * GIB]
    assert machine.outcome.console == ""


@WITH_PCI
def test_what_is_not_prefetchable_stays_out_of_such_a_window(name: str) -> None:
    """Of 64 bits or not. Source: PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.5.9"""
    device = endpoint((slot(3), slot(1)), {0: (WIDE, MIB), 2: (WIDE_PREFETCH, MIB)})
    machine = run(name, [bridge((slot(3),)), device])
    (behind,) = [b for b in buses(machine) if b.bridge]
    assert isinstance(behind.bridge, Bridge)
    window = memory_window(behind.bridge)
    one, other = (bar.address for bar in bars(behind.functions[slot(1)]))
    assert window.base <= one <= window.limit
    assert not window.base <= other <= window.limit


@WITH_PCI
def test_ports_of_16_bits(name: str) -> None:
    """An I/O BAR need not have an upper half. Source: PCI Local Bus Specification 3.0, 6.2.5.1"""
    found = endpoint((slot(4),), {0: (IO, 32)})
    mask = found.mask[:0x12] + bytes(2) + found.mask[0x14:]
    machine = run(name, [replace(found, mask=mask)])
    assert complaints(machine) == []
    assert unassigned(machine) == set()


@WITH_PCI
def test_io_of_many_bridges(name: str) -> None:
    """13 windows of 4 KiB are all that fit, less one for the chipset's own BARs."""
    functions = []
    for device in range(3, 23):
        functions += [bridge((slot(device),)), endpoint((slot(device), 0), {0: (IO, 32)})]
    machine = run(name, functions)
    assert complaints(machine) == []
    assert len(unassigned(machine)) == 20 - 12


LARGE = [
    endpoint((slot(3),), {0: (WIDE_PREFETCH, GIB), 2: (WIDE_PREFETCH, 4 * GIB)}),
    endpoint((slot(4),), {0: (WIDE, 2 * GIB), 2: (MEMORY, 256 << 20)}),
]


@WITH_PCI
@pytest.mark.parametrize("memory", [512 * MIB, 3072 * MIB, 8192 * MIB])
def test_large_bars_and_memory(name: str, memory: int) -> None:
    machine = run(name, LARGE, memory=memory)
    assert complaints(machine) == []
    assert unassigned(machine) == set()


@WITH_PCI
def test_as_far_as_addresses_reach(name: str) -> None:
    """A CPU of 40 address bits has none above 1 TiB of RAM."""
    machine = run(name, LARGE, memory=1 << 40)
    assert complaints(machine) == []
    assert unassigned(machine) == {(0, slot(3), 0x10), (0, slot(3), 0x18), (0, slot(4), 0x10)}


@WITH_PCI
def test_memory_hot_plug(name: str) -> None:
    """The region for it lies between RAM and the upper window."""
    end = File("etc/reserved-memory-end", 0x3001, 8, (100 * GIB).to_bytes(8, "little"))
    machine = run(name, [endpoint((slot(3),), {0: (WIDE_PREFETCH, 8 * GIB)})], files=(end,))
    assert complaints(machine) == []
    (bar,) = bars(machine.board.pci.roots[0].functions[slot(3)])
    assert bar.address >= 100 * GIB


@WITH_PCI
def test_extra_roots(name: str) -> None:
    """Root buses whose first device is not device 0 are found too; numbers do not collide."""
    machine = run(
        name,
        [
            bridge((slot(3),)),
            endpoint((slot(3), slot(1)), {0: (IO, 32), 1: (MEMORY, 4096)}),
            bridge((0,), root=64),
            endpoint((0, slot(2)), {0: (IO, 32), 2: (WIDE_PREFETCH, 8 * GIB)}, root=64),
            endpoint((slot(9),), {0: (MEMORY, 4096)}, root=200),
        ],
        files=(roots(2),),
    )
    assert complaints(machine) == []
    assert unassigned(machine) == set()


# the devices of each extra root bus, how many buses the host says there are, those that are found
ROOTS: dict[str, tuple[dict[int, list[int]], int, set[int]]] = {
    "the first that there can be": ({1: [0]}, 1, {1}),
    "a second device is no other bus": ({0x40: [0, 1], 0x60: [2]}, 2, {0x40, 0x60}),
    "no more than the host says": ({0x40: [0], 0x60: [1]}, 1, {0x40}),
}


@WITH_PCI
@pytest.mark.parametrize("case", ROOTS)
def test_how_many_extra_roots(name: str, case: str) -> None:
    there, count, found = ROOTS[case]
    functions = [
        endpoint((slot(device),), {0: (MEMORY, 4096)}, root=root)
        for root, devices in there.items()
        for device in devices
    ]
    machine = run(name, functions, files=(roots(count),))
    assert {bus for bus, *_ in unassigned(machine)} == there.keys() - found


@WITH_PCI
@pytest.mark.parametrize("device", [0x7010, 0x2922])  # PIIX3's IDE, ICH9's SATA: -device ich9-ahci
def test_the_chipsets_like_elsewhere(name: str, device: int) -> None:
    """A function with the IDs of one of the chipset's own is one like any other."""
    plain = endpoint((slot(5),), {0: (IO, 32), 1: (MEMORY, 4096)})
    ids = b"\x86\x80" + device.to_bytes(2, "little")
    machine = run(name, [replace(plain, config=ids + plain.config[4:])])
    assert complaints(machine) == []
    assert unassigned(machine) == set()


@WITH_PCI
def test_functions_of_a_device(name: str) -> None:
    """Functions need not follow one another; without the bit only function 0 is looked at."""
    bars = {0: (MEMORY, 4096)}
    machine = run(
        name,
        [
            endpoint((slot(3, 0),), bars, multifunction=True),
            endpoint((slot(3, 2),), bars),
            endpoint((slot(3, 7),), bars),
            endpoint((slot(4, 0),), bars),
            endpoint((slot(4, 1),), bars),
            endpoint((slot(5, 1),), bars),
        ],
    )
    assert unassigned(machine) == {(0, slot(4, 1), 0x10), (0, slot(5, 1), 0x10)}


# QEMU routes pin A-D of device d on bus 0 as pc_pci_slot_get_pirq() and ich9_cc_reset() say;
# PIRQ A to D, and E to H, are IRQ 10, 10, 11, 11.
LINES = {
    "pc": [(2, 1, 10), (2, 2, 11), (3, 1, 11), (4, 1, 11), (4, 2, 10), (5, 3, 11), (31, 4, 10)],
    "q35": [(1, 1, 10), (2, 1, 11), (3, 1, 11), (3, 2, 10), (24, 1, 10), (25, 1, 10), (25, 2, 10),
            (25, 3, 11), (30, 4, 11)],
}  # fmt: skip


@pytest.mark.parametrize(
    "name, device, pin, line", [(n, *row) for n, rows in LINES.items() for row in rows]
)
def test_interrupt_line(name: str, device: int, pin: int, line: int) -> None:
    machine = run(name, [endpoint((slot(device),), {}, pin=pin)])
    assert machine.board.pci.roots[0].functions[slot(device)].config[0x3C] == line


@WITH_PCI
def test_interrupt_line_behind_bridges(name: str) -> None:
    """Each bridge turns the pins by its device number: pin A of device 2 behind device 1 behind
    device 3 comes as pin A + 2 + 1 of device 3."""
    machine = run(
        name,
        [
            bridge((slot(3),)),
            bridge((slot(3), slot(1))),
            endpoint((slot(3), slot(1), slot(2)), {}, pin=1),
        ],
    )
    outer = machine.board.pci.roots[0].functions[slot(3)]
    assert isinstance(outer, Bridge)
    (bus,) = outer.secondary.children()
    pirq = (3 + 3 - (name == "pc")) % 4
    assert bus.functions[slot(2)].config[0x3C] == (10, 10, 11, 11)[pirq]


BARS = st.dictionaries(
    st.sampled_from([0, 2, 4]),
    st.tuples(st.sampled_from([IO, MEMORY, PREFETCH, WIDE, WIDE_PREFETCH]), st.integers(2, 34)),
    max_size=3,
)


@st.composite
def topologies(draw: st.DrawFn) -> list[PciFunction]:
    """Bridges up to four deep with devices at all levels."""
    found: list[PciFunction] = []
    buses: list[PATH] = [()]
    for _ in range(draw(st.integers(1, 12))):
        above = draw(st.sampled_from(buses))
        used = {f.path for f in found}
        path = (*above, slot(draw(st.integers(4, 30))))
        if path in used:
            continue
        if draw(st.booleans()) and len(path) < 5:
            found.append(bridge(path, io=draw(st.booleans()), wide=draw(st.booleans())))
            buses.append(path)
            continue
        bars = {}
        for index, (flags, power) in draw(BARS).items():
            low, high = (2, 8) if flags == IO else (4, 34 if flags & WIDE else 30)
            bars[index] = (flags, 1 << min(max(power, low), high))
        rom = draw(st.sampled_from([0, 1 << 11, 1 << 18]))
        found.append(endpoint(path, bars, rom=rom, pin=draw(st.integers(0, 4))))
    return found


@WITH_PCI
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(functions=topologies())
def test_any_topology(name: str, functions: list[PciFunction]) -> None:
    """Whatever there is: nothing overlaps, everything lies in its windows, what has no address
    does not decode."""
    assert complaints(run(name, functions)) == []
