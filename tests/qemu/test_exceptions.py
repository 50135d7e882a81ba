"""Real QEMU: a fault in the firmware ends in a coded stop."""

from pathlib import Path

import pytest

from fwbuild.abi import ports
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import build_test_kernel
from tests.support.boot import boot
from tests.support.faults import FAULTS, STOP, broken, expected
from tests.support.kvm import need_accel

pytestmark = pytest.mark.qemu


@pytest.mark.parametrize("accel", ["tcg", pytest.param("kvm", marks=pytest.mark.kvm)])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", MACHINES)
def test_stop(name: str, fault: str, accel: str, image: Image, tmp_path: Path) -> None:
    need_accel(accel)
    code, number, offset = FAULTS[fault]
    kernel = tmp_path / "kernel"
    kernel.write_bytes(build_test_kernel())
    faulty = broken(image, "memmap_check", bytes.fromhex(code))
    guest = Guest(name, kernel=kernel, accel=accel)
    status, serial, console = boot(guest, tmp_path, faulty)
    assert status == ports.debug_exit_status(STOP.code)
    assert console == serial == expected(image, "memmap_check", number, offset)
