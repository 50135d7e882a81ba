"""The machine types that fwbuild supports, a module a family."""

import difflib

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.machines.family import MachineFamily
from fwbuild.machines.microvm import MICROVM
from fwbuild.machines.pc import PC
from fwbuild.machines.q35 import Q35

FAMILIES = (MICROVM, PC, Q35)
MACHINES = tuple(family.name for family in FAMILIES)
ACCELERATORS = ("tcg", "kvm")
ACCEL = "accel="


def machine_type(machine: str) -> str:
    """The machine type in QEMU's -machine value: "q35" of "accel=kvm,type=q35"."""
    first, *options = machine.split(",")
    if "=" not in first:
        return first
    words = (option.partition("=") for option in (first, *options))
    return next((value for key, _, value in words if key == "type"), "")


def without_accelerator(machine: str) -> tuple[str, str]:
    """QEMU's -machine value without its accelerator, and that: ("q35", "kvm") of "q35,accel=kvm".
    A value without one, or with a choice of several ("kvm:tcg"), stays as it is, and with ""."""
    words = machine.split(",")
    named = [word.removeprefix(ACCEL) for word in words if word.startswith(ACCEL)]
    if len(named) != 1 or named[0] not in ACCELERATORS:
        return machine, ""
    return ",".join(word for word in words if not word.startswith(ACCEL)), named[0]


def of(machine: str) -> MachineFamily:
    """The family of QEMU's -machine value ("pc-q35-4.0,smm=off"). Raises FwbuildError."""
    name = machine_type(machine)
    for family in FAMILIES:
        if family.has(name):
            return family
    near = difflib.get_close_matches(name, MACHINES, 1)
    hint = f"did you mean {near[0]}?" if near else f"it runs on {', '.join(MACHINES)}"
    raise FwbuildError(ExitCode.USAGE, f"no firmware for machine type '{name}'", hint=hint)


__all__ = [
    "ACCELERATORS",
    "FAMILIES",
    "MACHINES",
    "MICROVM",
    "PC",
    "Q35",
    "MachineFamily",
    "machine_type",
    "of",
    "without_accelerator",
]
