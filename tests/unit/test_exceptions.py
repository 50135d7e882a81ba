"""A fault that nobody foresaw ends in a coded stop that says what and where."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fwbuild import protocols
from fwbuild.abi import x86
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.guest import Guest
from fwbuild.image.build import Image, build_image
from fwbuild.payloads.test_kernel import (
    build_test_bzimage,
    build_test_bzimage16,
    build_test_kernel,
    build_test_multiboot,
)
from tests.support import watch
from tests.support.faults import FAULTS, STOP, broken, broken_at, expected, statement_at
from tests.support.files import with_cpus

# where it happens: the first call of main, the last routine before each kernel
ROUTINES: dict[str, Callable[[], bytes]] = {
    "handoff_init": build_test_kernel,
    "smbios_load": build_test_kernel,
    "memmap_check": build_test_kernel,
    "linux_move_setup_data": build_test_bzimage,
    "bios_take_memory": build_test_multiboot,
    "bios_install": build_test_bzimage16,
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("routine", ROUTINES)
def test_stop(routine: str, fault: str, image: Image) -> None:
    code, number, offset = FAULTS[fault]
    found = recording.find(Guest("pc"))
    loaded = protocols.load(Guest("pc"), found, ROUTINES[routine]())
    outcome = Machine(broken(image, routine, bytes.fromhex(code)), found, loaded).run()
    assert (outcome.kind, outcome.exit_value) == ("exit", STOP.code), outcome.detail
    assert outcome.console == expected(image, routine, number, offset)
    assert outcome.serial == outcome.console


@pytest.mark.parametrize("number", range(x86.EXCEPTIONS))
def test_each_vector(number: int, image: Image) -> None:
    """`int` goes the way of an exception. Its address is that of what follows, but for the one
    that the emulator takes for an instruction that it does not know."""
    data = broken(image, "handoff_init", bytes([0xCD, number]))
    outcome = Machine(data, recording.find(Guest("pc"))).run()
    assert outcome.console == expected(
        image, "handoff_init", number, 2 * (number != x86.UNDEFINED_INSTRUCTION)
    )


def test_another_cpu() -> None:
    """It has the vectors too."""
    image = build_image("all-cpus")
    guest = Guest("pc")
    found = replace(with_cpus(recording.find(guest), 2), smp=2)
    inner = statement_at(image, "smp_cpu", "call mtrr_init")
    data = broken_at(image, inner, bytes.fromhex("0f0b"))
    machine = Machine(data, found, protocols.load(guest, found, build_test_kernel()))
    machine.run()
    assert f"fwbuild: {STOP.code:02x} {STOP.what} 06{inner & 0xFFFFFF:06x}" in machine.console.text


@pytest.mark.parametrize(
    "kernel", [build_test_kernel, build_test_bzimage, build_test_bzimage16, build_test_multiboot]
)
def test_a_kernels_exceptions_are_its_own(kernel: Callable[[], bytes], image: Image) -> None:
    """It gets the vectors' register as it is in real mode."""
    found = recording.find(Guest("q35"))
    machine = Machine(image.image, found, protocols.load(Guest("q35"), found, kernel()))
    assert machine.run().kind == "handoff"
    assert watch.idtr(machine) == watch.REAL_MODE_IDT
