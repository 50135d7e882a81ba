"""The MP table of a guest without ACPI."""

from dataclasses import replace

import pytest

from fwbuild import protocols
from fwbuild.abi import e820, mptable
from fwbuild.abi.mptable import Entry
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.firmware import file_names, stop_codes
from fwbuild.guest import Guest
from fwbuild.image.build import Image, build_image
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import build_test_kernel
from fwbuild.protocols import PVH
from fwbuild.protocols.tables.mp import judge_mptable, read_mptable
from tests.support import cpuid
from tests.support.files import with_cpus

Leaves = dict[tuple[int, int], cpuid.Answer]


def machine_of(
    name: str, cpus: int, image: Image, *, table_loader: bool = False, poison: int = 0xA5
) -> Machine:
    found = with_cpus(recording.find(Guest(name)), cpus)
    files = [f for f in found.files if table_loader or f.name != file_names.TABLE_LOADER]
    found = replace(found, files=files)
    loaded = protocols.load(Guest(name), found, build_test_kernel())
    return Machine(image.image, found, loaded, poison=poison)


@pytest.mark.parametrize("cpus", [1, 2, 64, 255])
@pytest.mark.parametrize("name", MACHINES)
def test_table(name: str, cpus: int, image: Image) -> None:
    machine = machine_of(name, cpus, image)
    machine.run()
    assert PVH.judge(machine.state()) == []
    found = read_mptable(machine.read)
    assert found
    assert found.table[8:28] == b"fwbuild QEMU".ljust(20)  # OEM ID and product ID
    assert len(found.of(Entry.PROCESSOR)) == cpus
    isa = {e.irq: e.pin for e in found.of(Entry.INTERRUPT) if e.bus == 1}
    assert isa == {0: 2, **{irq: irq for irq in range(1, 16) if irq != 2}}
    assert [(e.kind, e.pin) for e in found.of(Entry.LOCAL_INTERRUPT)] == [(3, 0), (1, 1)]
    pci = [e for e in found.of(Entry.INTERRUPT) if e.bus == 0]
    assert len(pci) == (0 if name == "microvm" else 128)


def summed(pointer: bytes) -> bytes:
    """With the checksum in its place, offset 10."""
    return pointer[:10] + bytes([-sum(pointer) % 256]) + pointer[11:]


def segment(built: bytes, entry: bytes) -> bytes:
    """An F segment with the template of a pointer, a pointer that was built, and a table that
    ends in this entry."""
    table = bytearray(mptable.HEADER.sizeof()) + entry
    table[4:6] = len(table).to_bytes(2, "little")
    return b"".join(part.ljust(64, b"\0") for part in (TEMPLATE, built, bytes(table)))


TEMPLATE = mptable.POINTER_SIGNATURE + bytes(4) + b"\1\4" + bytes(6)
BUILT = mptable.POINTER_SIGNATURE + (e820.SYSTEM_ROM + 128).to_bytes(4, "little") + TEMPLATE[8:]
BUS = bytes([Entry.BUS, 7]) + b"ISA   "
# a pointer, the last entry of its table: the IDs of the buses that are found
SEGMENTS = {
    "the template of one before it": (summed(BUILT), BUS, [7]),
    "an entry of no type": (summed(BUILT), BUS + b"\xa5" * 8, [7]),
    "an entry that is cut": (summed(BUILT), BUS + BUS[:-1], [7]),
}


@pytest.mark.parametrize("name", SEGMENTS)
def test_the_pointer_that_a_kernel_takes(name: str) -> None:
    built, entry, buses = SEGMENTS[name]
    memory = segment(built, entry)
    found = read_mptable(lambda at, size: memory[at - e820.SYSTEM_ROM :][:size])
    assert found and [bus.id for bus in found.of(Entry.BUS)] == buses


def test_a_pointer_with_a_wrong_checksum_is_none() -> None:
    memory = segment(BUILT, BUS)
    assert read_mptable(lambda at, size: memory[at - e820.SYSTEM_ROM :][:size]) is None


# Slot, pin (0 is INTA) and IRQ. pc: PIRQ (pin + slot - 1) % 4; q35: (pin + slot) % 4 below slot
# 25, pin above; the PIRQs go to 10, 10, 11, 11. (QEMU hw/isa/piix3.c, lpc_ich9.c)
ROUTES = {
    "pc": {(1, 0): 10, (1, 3): 11, (2, 0): 10, (2, 1): 11, (3, 0): 11, (4, 0): 11, (5, 0): 10,
           (31, 0): 11},
    "q35": {(1, 0): 10, (2, 0): 11, (3, 0): 11, (4, 0): 10, (24, 0): 10, (25, 0): 10,
            (26, 0): 10, (31, 0): 10, (31, 1): 10, (31, 2): 11, (31, 3): 11},
}  # fmt: skip


@pytest.mark.parametrize("name", ROUTES)
def test_routes(name: str, image: Image) -> None:
    machine = machine_of(name, 1, image)
    machine.run()
    found = read_mptable(machine.read)
    assert found
    routes = {(e.irq >> 2, e.irq & 3): e.pin for e in found.of(Entry.INTERRUPT) if e.bus == 0}
    assert {where: routes[where] for where in ROUTES[name]} == ROUTES[name]


def test_none_with_acpi(image: Image) -> None:
    machine = machine_of("pc", 1, image, table_loader=True)
    machine.run()
    assert read_mptable(machine.read) is None


def test_cpus_cost_no_accesses(image: Image) -> None:
    few, many = (machine_of("pc", n, image).run().accesses for n in (1, 255))
    assert len(few) == len(many)


# Threads of a core, cores of a die, dies of a package.
Topology = tuple[int, int, int]


def leaf_1f(topology: Topology) -> Leaves:
    """As QEMU's target/i386/cpu.c has it: bits below the next level, CPUs in one of this level."""
    rows = {(0x1F, 0): (1, 1, 0x100, 0)}
    bits, cpus = 0, 1
    for level, count in enumerate(topology):
        bits, cpus = bits + (count - 1).bit_length(), cpus * count
        rows[0x1F, level] = (bits, cpus, level + 1 << 8 | level, 0)
    return rows


def leaf_0b(topology: Topology) -> Leaves:
    """It counts no dies: the package's level has their bits, and the CPUs of one die."""
    (thread_bits, threads, *_), (_, cpus, *_), (bits, *_) = leaf_1f(topology).values()
    return {(0xB, 0): (thread_bits, threads, 0x100, 0), (0xB, 1): (bits, cpus, 0x201, 0)}


def last_leaf(number: int) -> Leaves:
    ebx, ecx, edx = (int.from_bytes(n, "little") for n in (b"Genu", b"ntel", b"ineI"))
    return {(0, 0): (number, ebx, ecx, edx)}


def leaf_1(cpus: int) -> Leaves:
    return {(1, 0): (0, cpus << 16, 0, 1 << 12)}


# name: (what CPUID tells, the topology, packages, CPUs that are listed if not all are)
CPUIDS: dict[str, tuple[Leaves, Topology, int, int | None]] = {
    "leaf 1FH": (last_leaf(0x1F) | leaf_1f((2, 3, 3)), (2, 3, 3), 2, None),
    "leaf 1FH, one of each": (last_leaf(0x1F) | leaf_1f((1, 1, 1)), (1, 1, 1), 5, None),
    "leaf 1FH is empty": (
        last_leaf(0x20) | {(0x1F, 0): (0, 0, 0, 0)} | leaf_0b((2, 3, 1)), (2, 3, 1), 3, None),
    "leaf 0BH": (last_leaf(0xB) | leaf_0b((2, 5, 1)), (2, 5, 1), 2, None),
    "leaf 0BH, 2 dies": (last_leaf(0xD) | leaf_0b((1, 3, 2)), (1, 3, 2), 2, None),
    "leaf 0BH, more bits than for 2 dies": (last_leaf(0xD) | leaf_0b((2, 2, 3)), (2, 2, 3), 2, 12),
    "leaf 0BH, fewer CPUs": (last_leaf(0xD) | leaf_0b((2, 2, 4)), (2, 2, 3), 1, None),
    "leaf 0BH is empty": (
        last_leaf(0xD) | {(0xB, 0): (0, 0, 0, 0)} | leaf_1(3), (1, 3, 1), 3, None),
    "leaf 1 alone": (last_leaf(4) | leaf_1(6), (1, 6, 1), 2, None),
}  # fmt: skip


def apic_ids(topology: Topology, packages: int) -> list[int]:
    """Each level has whole bits (QEMU include/hw/i386/topology.h)."""
    ids = [0]
    bits = 0
    for count in (*topology, packages):
        ids = [number << bits | lower for number in range(count) for lower in ids]
        bits += (count - 1).bit_length()
    return ids


@pytest.mark.parametrize("poison", [0, 0xA5])
@pytest.mark.parametrize("name", CPUIDS)
def test_topology(name: str, poison: int, image: Image) -> None:
    leaves, topology, packages, listed = CPUIDS[name]
    ids = apic_ids(topology, packages)
    machine = machine_of("microvm", len(ids), image, poison=poison)
    cpuid.answer(machine, leaves)
    machine.run()
    found = read_mptable(machine.read)
    assert found
    assert [p.apic_id for p in found.of(Entry.PROCESSOR)] == ids[:listed]


def test_what_a_processor_is(image: Image) -> None:
    """The signature and the features are leaf 1's."""
    machine = machine_of("microvm", 2, image)
    cpuid.answer(machine, last_leaf(4) | {(1, 0): (0x306A9, 1 << 16, 0, 0x0783FBFF)})
    machine.run()
    found = read_mptable(machine.read)
    assert found
    processors = [(p.signature, p.features) for p in found.of(Entry.PROCESSOR)]
    assert processors == [(0x306A9, 0x0783FBFF)] * 2
    size = mptable.PROCESSOR.sizeof()
    for at in (mptable.HEADER.sizeof() + n * size for n in range(2)):
        assert found.table[at + 12 : at + size] == bytes(8)  # reserved


def test_a_leaf_above_the_last(image: Image) -> None:
    """Intel's CPUs answer it as the last one."""
    machine = machine_of("microvm", 4, image)
    cpuid.answer(machine, last_leaf(0xA) | leaf_0b((3, 1, 1)) | leaf_1(1))
    machine.run()
    found = read_mptable(machine.read)
    assert found
    assert [p.apic_id for p in found.of(Entry.PROCESSOR)] == [0, 1, 2, 3]


@pytest.mark.parametrize("bits, cpus", [
    (31, (1,) * 9), (31, (8, 4, 2, 1)), (31, (0xFFFFFFFF,) * 9), (31, (3, 5, 7, 11)),
    (0, (1,) * 2000),
])  # fmt: skip
def test_a_cpuid_that_makes_no_sense(bits: int, cpus: tuple[int, ...], image: Image) -> None:
    """Levels without end, that shrink, that are no multiples: the kernel is entered still."""
    machine = machine_of("microvm", 16, image)
    rows = {(0x1F, i): (bits, count, 0x100, 0) for i, count in enumerate(cpus)}
    cpuid.answer(machine, last_leaf(0x1F) | rows)
    assert machine.run().kind == "handoff"
    found = read_mptable(machine.read)
    assert found and 0 < len(found.of(Entry.PROCESSOR)) <= 16


def test_more_than_ids(image: Image) -> None:
    """An ID has a byte, and 255 means all CPUs."""
    machine = machine_of("q35", 288, image)
    machine.run()
    found = read_mptable(machine.read)
    assert found
    assert list(judge_mptable(found, 255)) == []
    assert [p.apic_id for p in found.of(Entry.PROCESSOR)] == list(range(255))


def test_more_than_fits(image: Image) -> None:
    outcome = machine_of("pc", 4000, image).run()
    stop = stop_codes.BY_NAME["NO_ROOM"]
    assert outcome.console == f"fwbuild: {stop.code:02x} {stop.what} {4000 * 20 + 1244:08x}\n"


def test_a_template_without_it() -> None:
    machine = machine_of("pc", 2, build_image("linux"))
    machine.run()
    assert PVH.judge(machine.state()) == []
    assert read_mptable(machine.read) is None
