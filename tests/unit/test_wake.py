"""A wake from S3 in the emulated machine: where it goes, and what it leaves alone."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from fwbuild.abi import acpi, chipset, e820, legacy, offsets, pvpanic
from fwbuild.abi.x86 import Msr
from fwbuild.emulator.devices import Pvpanic
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.wake import facs, judge_wake, reset, suspend
from fwbuild.firmware import file_names, layout, stop_codes
from fwbuild.guest import Guest
from fwbuild.image.build import build_image
from fwbuild.payloads.test_kernel import (
    build_test_bzimage,
    build_test_bzimage16,
    build_test_kernel,
    build_test_multiboot,
)
from tests.support import watch
from tests.support.booted import emulated
from tests.support.files import put_files
from tests.support.templates import for_kernels

VECTOR = 0x9A010
MACHINES = ("pc", "q35")  # microvm offers no S3
KERNELS: dict[str, Callable[[], bytes]] = {
    "bzImage": build_test_bzimage,
    "old bzImage": build_test_bzimage16,
    "Multiboot": build_test_multiboot,
}


@cache
def booted(machine: str, kernel: str = "bzImage", template: str = "universal") -> Machine:
    """At the handoff. The caller does not change it, but for the waking vector."""
    guest = Guest(machine, append="a=b")
    found = emulated(guest, build_image(template).image, kernel=KERNELS[kernel]())
    assert found.outcome.kind == "handoff"
    return found


def rsdp(machine: Machine) -> int:
    data = machine.read(layout.F_SEGMENT.base, layout.F_SEGMENT.size)
    return layout.F_SEGMENT.base + data.index(acpi.RSDP_SIGNATURE)


@pytest.mark.parametrize("template", for_kernels())
@pytest.mark.parametrize("machine", MACHINES)
def test_a_guest_wakes(machine: str, template: str) -> None:
    before = booted(machine, template=template)
    after = suspend(before, rsdp(before), VECTOR)
    assert judge_wake(before, after, after.run(), VECTOR) == []
    assert watch.idtr(after) == watch.REAL_MODE_IDT
    for msr in (Msr.MTRR_DEF_TYPE, Msr.MTRR_PHYS_BASE0, Msr.MTRR_PHYS_MASK0):
        assert after.uc.msr_read(msr) == before.uc.msr_read(msr) != 0


def test_feature_control_is_set_again() -> None:
    """A reset has cleared it. Where no file asks for it, nobody writes it (test_smp.py)."""
    files = {file_names.FEATURE_CONTROL: (5).to_bytes(8, "little")}
    image = build_image("all-cpus").image
    before = emulated(Guest("q35"), image, build_test_bzimage(), files=files)
    after = suspend(before, rsdp(before), VECTOR)
    written = watch.msrs(after)
    assert judge_wake(before, after, after.run(), VECTOR) == []
    assert written.count((Msr.FEATURE_CONTROL, 5)) == 1


@pytest.mark.parametrize("kernel", ["old bzImage", "Multiboot"])
@pytest.mark.parametrize("machine", MACHINES)
def test_other_kernels_wake(machine: str, kernel: str) -> None:
    before = booted(machine, kernel)
    after = suspend(before, rsdp(before), VECTOR)
    assert judge_wake(before, after, after.run(), VECTOR) == []


@pytest.mark.parametrize("vector", [0x1000, 0x9A01F, 0xFFFF0])
def test_vectors(vector: int) -> None:
    before = booted("pc")
    after = suspend(before, rsdp(before), vector)
    assert judge_wake(before, after, after.run(), vector) == []


@pytest.mark.parametrize("machine", MACHINES)
def test_three_in_a_row(machine: str) -> None:
    now = booted(machine)
    for _ in range(3):
        after = suspend(now, rsdp(now), VECTOR)
        # what a guest wrote must still be there: it is inherited from machine to machine
        after.memory.writes |= now.memory.writes
        outcome = after.run()
        assert outcome.kind == "handoff"
        now = after


@pytest.mark.parametrize("machine", MACHINES)
def test_a_reset_that_is_no_wake(machine: str) -> None:
    """A guest's reboot: two accesses more than a cold boot, and the same handoff."""
    before = booted(machine)
    assert before.loaded
    after = reset(before, before.loaded.entry)
    outcome = after.run()
    assert outcome.kind == "handoff"
    cold = before.outcome.accesses
    assert [(a.direction, a.port) for a in outcome.accesses[:2]] == [
        ("out", legacy.CMOS_INDEX),
        ("in", legacy.CMOS_DATA),
    ]
    assert outcome.accesses[2:] == cold
    assert not any(a.port in (legacy.CMOS_INDEX, legacy.CMOS_DATA) for a in cold)


@pytest.mark.parametrize("machine", MACHINES)
def test_old_contents_of_ram_are_no_wake(machine: str) -> None:
    """The mark of another run, in the file that a guest's RAM is: the clock's memory says no."""
    before = booted(machine, "Multiboot")
    assert before.loaded
    after = reset(before, before.loaded.entry)
    assert after.run().kind == "handoff"


def test_microvm_never_asks(tmp_path: Path) -> None:
    guest = Guest("microvm", append="a=b")
    found = emulated(guest, build_image().image)
    assert found.loaded
    after = reset(found, found.loaded.entry)
    assert after.run().accesses == found.outcome.accesses


def spoil(machine: Machine, at: int, value: int = 0) -> None:
    machine.memory.dma_write(at, value.to_bytes(4, "little"))


def rsdt(machine: Machine) -> int:
    at = rsdp(machine) + offsets(acpi.RSDP)["rsdt_address"]
    return int.from_bytes(machine.read(at, 4), "little")


def first_table(machine: Machine) -> int:
    """The address of the FADT, which QEMU names first."""
    return int.from_bytes(machine.read(rsdt(machine) + acpi.TABLE_HEADER.sizeof(), 4), "little")


def at(machine: Machine, name: str) -> int:
    """The address of what leads to the waking vector, by the first of each of SPOILT."""
    found = rsdp(machine)
    ways = {
        "no RSDP": layout.address("ebda", "rsdp"),
        "RSDP damaged": found,
        "no RSDT": found + offsets(acpi.RSDP)["rsdt_address"],
        "no FACS": facs(machine, found),
        "no vector": facs(machine, found) + offsets(acpi.FACS)["firmware_waking_vector"],
        "FADT damaged": first_table(machine),
        "RSDT's length": rsdt(machine) + offsets(acpi.TABLE_HEADER)["length"],
    }
    return ways[name]


# name: (what leads to the waking vector, what it says)
SPOILT = {
    "no RSDP": ("no RSDP", 0),
    "RSDP damaged": ("RSDP damaged", 0),
    "no RSDT": ("no RSDT", 0),
    "no FACS": ("no FACS", 0),
    "no FADT": ("FADT damaged", 0),
    "no vector": ("no vector", 0),
    "a vector at 1 MiB": ("no vector", e820.EXTENDED),
    "an RSDT without tables": ("RSDT's length", acpi.TABLE_HEADER.sizeof()),
    "an RSDT of half a header": ("RSDT's length", acpi.TABLE_HEADER.sizeof() - 1),
}


@pytest.mark.parametrize("name", SPOILT)
@pytest.mark.parametrize("machine", MACHINES)
def test_no_waking_vector(machine: str, name: str) -> None:
    before = emulated(Guest(machine), build_image().image, kernel=build_test_bzimage())
    # the PAM of the machine before is open, so that it can be written
    after = suspend(before, rsdp(before), VECTOR)
    way, value = SPOILT[name]
    spoil(before, at(before, way), value)
    after.memory.inherit(before.memory)
    outcome = after.run()
    stop = stop_codes.BY_NAME["WAKE_VECTOR"]
    assert (outcome.kind, outcome.exit_value) == ("exit", stop.code)
    assert outcome.console.startswith(f"fwbuild: {stop.code:02x} {stop.what} ")
    pages = {layout.EBDA.base // 0x1000}
    assert after.writes <= pages


def test_the_fadt_need_not_come_first() -> None:
    before = emulated(Guest("pc"), build_image().image, kernel=build_test_bzimage())
    after = suspend(before, rsdp(before), VECTOR)
    place = rsdt(before) + acpi.TABLE_HEADER.sizeof()
    first, second = (before.read(place + 4 * n, 4) for n in (0, 1))
    spoil(before, place, int.from_bytes(second, "little"))
    spoil(before, place + 4, int.from_bytes(first, "little"))
    after.memory.inherit(before.memory)
    assert judge_wake(before, after, after.run(), VECTOR) == []
    # behind the end of the RSDT it is none of its tables
    after = suspend(before, rsdp(before), VECTOR)
    length = rsdt(before) + offsets(acpi.TABLE_HEADER)["length"]
    spoil(before, length, acpi.TABLE_HEADER.sizeof() + 4)
    after.memory.inherit(before.memory)
    assert after.run().exit_value == stop_codes.BY_NAME["WAKE_VECTOR"].code


@pytest.mark.parametrize("machine", MACHINES)
def test_a_vmlinux_cannot_wake(machine: str) -> None:
    before = emulated(Guest(machine), build_image().image, kernel=build_test_kernel())
    after = suspend(before, rsdp(before), VECTOR)
    outcome = after.run()
    stop = stop_codes.BY_NAME["WAKE_VMLINUX"]
    assert (outcome.kind, outcome.exit_value) == ("exit", stop.code)
    assert outcome.console.startswith(f"fwbuild: {stop.code:02x} {stop.what} 00000000\n")
    option = {"pc": "PIIX4_PM.disable_s3=1", "q35": "ICH9-LPC.disable_s3=1"}[machine]
    assert option in outcome.console and f"-global {option}" in stop.hint


@pytest.mark.parametrize("machine", MACHINES)
def test_a_stop_at_a_wake_is_a_panic(machine: str) -> None:
    """All that it writes is in the EBDA, where its stack is: a dump of the guest is whole."""
    before = emulated(Guest(machine), build_image().image, kernel=build_test_kernel())
    after = suspend(before, rsdp(before), VECTOR)
    for port in after.exit.ports:
        del after.devices[port]
    device = Pvpanic(0x6A0)
    after.board.map_ports(device)
    put_files(after, {file_names.PVPANIC_PORT: (0x6A0).to_bytes(2, "little")})
    outcome = after.run()
    stop = stop_codes.BY_NAME["WAKE_VMLINUX"]
    assert outcome.kind == "halt"
    assert outcome.console.startswith(f"fwbuild: {stop.code:02x} ")
    assert device.reported == pvpanic.PANICKED
    assert after.writes == {layout.EBDA.base // 0x1000}


@pytest.mark.parametrize("damage", ["page", "EBDA's neighbour", "PIRQ", "clock", "PM", "vector"])
def test_the_judge_sees(damage: str) -> None:
    """Each kind of departure is found, so that the tests above can fail."""
    before = booted("pc")
    after = suspend(before, rsdp(before), VECTOR)
    outcome = after.run()
    functions = after.board.pci.roots[0].functions
    if damage == "page":
        spoil(after, 0x1000)
    elif damage == "EBDA's neighbour":
        spoil(after, layout.EBDA.base - 4)
    elif damage == "PIRQ":
        functions[chipset.Devfn.PIIX3_ISA].config[chipset.PIIX3_PIRQ] ^= 1
    elif damage == "clock":
        after.devices[legacy.CMOS_DATA].content[legacy.CMOS_SHUTDOWN] = 0xFE  # type: ignore[attr-defined]
    elif damage == "PM":
        functions[chipset.Devfn.PIIX4_PM].pm.control = 0  # type: ignore[attr-defined]
    else:
        outcome.registers["cs"] += 1
    assert len(judge_wake(before, after, outcome, VECTOR)) == 1
