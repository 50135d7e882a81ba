"""Numbers of the host's at the end of what they can be, and buses with more than there is room for:
an end within 20 million instructions, and nothing outside what holds it."""

import pytest

from fwbuild.emulator.recording import File, PciFunction
from fwbuild.firmware import layout, pci_plan
from fwbuild.sizes import GIB, KIB, MIB
from tests.support.pci_decode import io_window
from tests.support.pci_functions import IO, MEMORY, WIDE, Reserve, bridge, endpoint
from tests.support.pci_judge import buses, complaints
from tests.support.pci_machine import WITH_PCI, roots, run, slot

ROOTS = (0x40, 0x60, 0x80, 0xA0)
FUNCTIONS = 480


ENDS = [1, 4 * KIB, MIB, GIB, 1 << 40]


@pytest.mark.parametrize("below", ENDS)
@pytest.mark.parametrize("name", ["pc", "q35"])
def test_the_end_of_memory_wraps(name: str, below: int) -> None:
    """etc/reserved-memory-end is near 2^64, with no room below 4 GiB: no window lies in RAM."""
    end = File("etc/reserved-memory-end", 0x3001, 8, ((1 << 64) - below).to_bytes(8, "little"))
    bars = [power << 20 for power in (512, 256, 128, 64, 32, 16, 8, 4)]
    functions = [endpoint((slot(3 + i),), {0: (MEMORY, size)}) for i, size in enumerate(bars)]
    # the first would lie at 0, which is no place, if the sum's carry were lost; not so the next
    wide = ((0, 64 * GIB), (2, 1 << 63), (4, GIB))
    functions += [endpoint((slot(20),), {n: (WIDE, size) for n, size in wide})]
    functions += [bridge((slot(device),), root=0x40) for device in range(3)]
    memory = 3072 * MIB if name == "pc" else 512 * MIB
    machine = run(name, functions, memory=memory, files=(roots(1), end))
    assert complaints(machine) == []


@WITH_PCI
def test_what_the_tables_take(name: str) -> None:
    """A function, its BARs, a bus and its windows: not a byte more."""
    device = endpoint((slot(3), slot(1)), {0: (MEMORY, 4096)})
    ends = [
        int.from_bytes(run(name, functions).read(layout.address("plan", "next"), 4), "little")
        for functions in ([], [bridge((slot(3),)), device])
    ]
    bus = (pci_plan.BUS, *[pci_plan.WINDOW] * pci_plan.LISTS)
    kinds = (*[pci_plan.FUNCTION] * 2, pci_plan.RESOURCE, *bus)
    assert ends[1] - ends[0] == sum(kind.sizeof() for kind in kinds)


def test_480_functions_on_five_root_buses() -> None:
    functions = [
        endpoint((slot(3 + n % 24, n // 24),), {0: (WIDE, MIB), 2: (WIDE, MIB), 4: (WIDE, MIB)},
                 root=root, multifunction=True)
        for root in (0, *ROOTS)
        for n in range(FUNCTIONS // 5)
    ]  # fmt: skip
    assert complaints(run("pc", functions, files=(roots(len(ROOTS)),))) == []


@WITH_PCI
def test_what_the_host_asks_for_goes_before_the_rest(name: str) -> None:
    """12 windows of I/O ports are all that fit: of 13 bridges the one that is found last, and has
    a hint, gets one."""
    functions = [bridge((slot(device),)) for device in range(4, 16)]
    hinted = bridge((slot(24),), reserve=Reserve(io=4 * KIB))
    machine = run(name, [*functions, hinted])
    open_ones = {b.number for b in buses(machine) if b.bridge and io_window(b.bridge).open}
    assert len(open_ones) == 12
    assert 13 in open_ones


@WITH_PCI
def test_io_windows_lie_in_their_parents(name: str) -> None:
    """Four bridges with a BAR of 4 bytes each and one with a BAR of 16 KiB, below one bridge."""
    above = slot(3)
    functions: list[PciFunction] = [bridge((above,))]
    for device in range(1, 6):
        size = 16 * KIB if device == 5 else 4
        path = (above, slot(device))
        functions += [bridge(path), endpoint((*path, slot(1)), {0: (IO, size)})]
    assert complaints(run(name, functions)) == []
