"""The MP table of a guest without ACPI."""

from dataclasses import replace

import pytest

from fwbuild import protocols
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
from tests.support.files import with_cpus


def machine_of(name: str, cpus: int, image: Image, *, table_loader: bool = False) -> Machine:
    found = with_cpus(recording.find(Guest(name)), cpus)
    files = [f for f in found.files if table_loader or f.name != file_names.TABLE_LOADER]
    found = replace(found, files=files)
    return Machine(image.image, found, protocols.load(Guest(name), found, build_test_kernel()))


@pytest.mark.parametrize("cpus", [1, 2, 64, 255])
@pytest.mark.parametrize("name", MACHINES)
def test_table(name: str, cpus: int, image: Image) -> None:
    machine = machine_of(name, cpus, image)
    machine.run()
    assert PVH.judge(machine.state()) == []
    found = read_mptable(machine.read)
    assert found
    assert len(found.of(Entry.PROCESSOR)) == cpus
    isa = {e.irq: e.pin for e in found.of(Entry.INTERRUPT) if e.bus == 1}
    assert isa == {0: 2, **{irq: irq for irq in range(1, 16) if irq != 2}}
    assert [(e.kind, e.pin) for e in found.of(Entry.LOCAL_INTERRUPT)] == [(3, 0), (1, 1)]
    pci = [e for e in found.of(Entry.INTERRUPT) if e.bus == 0]
    assert len(pci) == (0 if name == "microvm" else 128)


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
