"""The families of machine types: names, and what the parts of the project learn from them."""

from dataclasses import replace

import pytest

from fwbuild.abi.e820 import FOUR_GIB
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import pci_plan
from fwbuild.guest import Guest
from fwbuild.image.build import build_image
from fwbuild.machines import MICROVM, PC, Q35, MachineFamily, of, without_accelerator
from tests.support.pci_judge import host_windows

NAMES = {
    "microvm": MICROVM,
    "microvm,acpi=off": MICROVM,
    "pc": PC,
    "pc,smm=off": PC,
    "pc-i440fx-2.4": PC,
    "pc-i440fx-jammy": PC,
    "pc-i440fx-rhel7.6.0": PC,
    "pc-1.3": PC,
    "ubuntu": PC,
    "q35": Q35,
    "pc-q35-4.0": Q35,
    "pc-q35-rhel9.2.0": Q35,
    "ubuntu-q35": Q35,
    "type=q35": Q35,
    "accel=tcg,type=pc-q35-7.2": Q35,
}


ACCELERATORS = {
    "q35": ("q35", ""),
    "q35,accel=tcg": ("q35", "tcg"),
    "accel=kvm,type=pc,smm=off": ("type=pc,smm=off", "kvm"),
    "pc,accel=kvm:tcg": ("pc,accel=kvm:tcg", ""),
    "pc,accel=xen": ("pc,accel=xen", ""),
    "pc,accel=kvm,accel=tcg": ("pc,accel=kvm,accel=tcg", ""),
}


@pytest.mark.parametrize("machine", ACCELERATORS)
def test_an_accelerator_in_a_machine(machine: str) -> None:
    assert without_accelerator(machine) == ACCELERATORS[machine]


@pytest.mark.parametrize("machine", NAMES)
def test_a_machine_has_a_family(machine: str) -> None:
    assert of(machine) is NAMES[machine]
    assert Guest(machine).family is NAMES[machine]
    recorded = recording.Recording(qemu="7.2", machine=machine, memory=0, smp=1, accel="tcg")
    assert recorded.family is NAMES[machine]


@pytest.mark.parametrize(
    ("machine", "words"),
    [("isapc", "isapc"), ("none", "no firmware"), ("q36", "mean q35"), ("accel=kvm", "runs on")],
)
def test_no_other_has_one(machine: str, words: str) -> None:
    with pytest.raises(FwbuildError, match=words) as error:
        of(machine)
    assert error.value.code == ExitCode.USAGE


@pytest.mark.parametrize("family", [PC, Q35], ids=str)
def test_the_firmware_takes_ports_that_are_free(family: MachineFamily) -> None:
    for start, end in (
        (pci_plan.IO_START, pci_plan.IO_END),
        (pci_plan.IO_OTHER_START, pci_plan.IO_OTHER_END),
    ):
        assert any(a <= start < end <= b for a, b in family.free_ports)


@pytest.mark.parametrize("machine", ["q35", "pc-q35-4.0"])
def test_the_aperture_of_q35_starts_after_ecam(machine: str) -> None:
    recorded = replace(recording.find(Guest("q35")), machine=machine)
    (low,) = (
        window
        for window in host_windows(Machine(build_image().image, recorded, None))
        if window.kind == "memory" and window.base < FOUR_GIB
    )
    # QEMU 7.2's info mtree: pcie-mmcfg-mmio ends at 0xbfffffff
    assert (low.base, low.end) == (0xC0000000, 0xFEC00000)


# Source: QEMU, hw/i386/pc_piix.c and pc_q35.c: pvh_enabled is false in the 3.1 types and earlier
LOADS_PVH = {
    "microvm": True, "pc": True, "q35": True, "ubuntu": True,
    "pc-i440fx-4.0": True, "pc-q35-4.0.1": True, "pc-q35-10.0": True,
    "pc-i440fx-3.1": False, "pc-q35-2.12": False, "pc-1.3": False, "pc-0.15": False,
    "pc-i440fx-bionic": False, "pc-i440fx-rhel7.6.0": False,
}  # fmt: skip


@pytest.mark.parametrize("machine", LOADS_PVH)
def test_which_load_a_vmlinux(machine: str) -> None:
    assert of(machine).loads_pvh(machine) == LOADS_PVH[machine]
