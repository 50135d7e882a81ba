"""Skips a test, with the reason, if the QEMU in use lacks something that it needs."""

from functools import cache

import pytest

from fwbuild.guest import Guest
from fwbuild.qemu.program import Qemu, program


@cache
def machine_types(qemu: Qemu) -> frozenset[str]:
    """The machine types that a QEMU has."""
    lines = qemu.ask("-machine", "help").splitlines()[1:]
    return frozenset(line.split()[0] for line in lines if line.strip())


def need_machine(guest: Guest) -> None:
    """Skip for want of a guest's machine type."""
    if guest.machine_type not in machine_types(program()):
        pytest.skip(f"QEMU {program().version} has no machine type {guest.machine_type}")


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))


def is_later_than(release: str) -> bool:
    """Whether the QEMU is of a later release than one ("10.2")."""
    return program().numbers[:2] > _numbers(release)


def need_since(oldest: str) -> None:
    """Skip where the QEMU is of an earlier release than `oldest`, if that is not empty."""
    if oldest and program().numbers[:2] < _numbers(oldest):
        pytest.skip(f"QEMU {program().version}: there is no such guest before {oldest}")


def need_release(newest: str, why: str = "there is no such guest") -> None:
    """Skip where the QEMU is of a later release than `newest`, if that is not empty."""
    if newest and is_later_than(newest):
        pytest.skip(f"QEMU {program().version}: {why} after {newest}")
