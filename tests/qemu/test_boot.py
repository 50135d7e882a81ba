"""Real QEMU: the test kernel by PVH, and what stops the firmware. Linux is in matrix.toml."""

from dataclasses import replace
from pathlib import Path

import pytest

from fwbuild.abi import ports
from fwbuild.firmware import stop_codes
from fwbuild.guest import Guest
from fwbuild.machines import MACHINES
from fwbuild.sizes import KIB, MIB
from tests.support import debian
from tests.support.boot import boot
from tests.support.kvm import need_accel

pytestmark = [pytest.mark.qemu, pytest.mark.versions]


@pytest.mark.parametrize("accel", ["tcg", pytest.param("kvm", marks=pytest.mark.kvm)])
@pytest.mark.parametrize("name", MACHINES)
def test_test_kernel(name: str, accel: str, tmp_path: Path, test_kernel: bytes) -> None:
    need_accel(accel)
    kernel = tmp_path / "kernel"
    kernel.write_bytes(test_kernel)
    guest = Guest(name, 128 * MIB, kernel=kernel, append="from QEMU", accel=accel)
    status, serial, console = boot(guest, tmp_path)
    assert status == ports.debug_exit_status(1), console
    assert "cmdline from QEMU\n" in console
    assert serial == console


STOPS = {
    "no kernel": ("NO_KERNEL", Guest()),
    "no kernel at all": ("KERNEL_KIND", Guest("pc", append="a")),
    "too little memory": ("KERNEL_RANGE", Guest("q35", 24 * MIB)),
}


@pytest.mark.parametrize("case", STOPS)
def test_stops(case: str, tmp_path: Path) -> None:
    name, guest = STOPS[case]
    if case == "no kernel at all":
        guest = replace(guest, kernel=tmp_path / "zeros")
        (tmp_path / "zeros").write_bytes(bytes(8192))
    elif case != "no kernel":
        guest = replace(guest, kernel=debian.cloud_vmlinux())
    status, serial, console = boot(guest, tmp_path)
    stop = stop_codes.BY_NAME[name]
    assert status == ports.debug_exit_status(stop.code)
    assert console.startswith(f"fwbuild: {stop.code:02x} {stop.what} ")
    assert serial == console


@pytest.mark.parametrize("kib", [8, 400, 624, 632, 1024])
@pytest.mark.parametrize("name", MACHINES)
def test_too_little_ram_for_the_firmware(name: str, kib: int, tmp_path: Path) -> None:
    """Its variables end at 628 KiB."""
    status, serial, console = boot(Guest(name, kib * KIB), tmp_path)
    stop = stop_codes.BY_NAME["E820_SMALL"]
    assert status == ports.debug_exit_status(stop.code)
    known = kib * KIB if kib > 624 else 0
    assert serial == console == f"fwbuild: {stop.code:02x} {stop.what} {known:08x}\n"
