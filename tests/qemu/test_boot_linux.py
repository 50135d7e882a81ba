"""Real QEMU: the test kernel as a bzImage, and memtest86+. Linux is in matrix.toml."""

from pathlib import Path

import pytest

from fwbuild.abi import ports
from fwbuild.guest import Guest
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import build_test_bzimage
from fwbuild.sizes import MIB
from tests.support import debian
from tests.support.boot import boot, serial_until
from tests.support.kvm import need_accel
from tests.support.offered import is_later_than

pytestmark = pytest.mark.qemu


@pytest.mark.versions
@pytest.mark.parametrize("accel", ["tcg", pytest.param("kvm", marks=pytest.mark.kvm)])
@pytest.mark.parametrize("name", MACHINES)
def test_test_kernel(name: str, accel: str, tmp_path: Path) -> None:
    """With a device tree, which QEMU appends to the kernel. From 10.0 on the kernel's header
    then points past it, by the size of the setup code: no firmware finds it there."""
    need_accel(accel)
    kernel, tree = tmp_path / "kernel", tmp_path / "tree"
    kernel.write_bytes(build_test_bzimage())
    tree.write_bytes(bytes(range(256)) * 20)
    extra = () if is_later_than("9.2") else ("-dtb", str(tree))
    guest = Guest(name, 128 * MIB, kernel=kernel, append="from QEMU", accel=accel, extra=extra)
    status, serial, console = boot(guest, tmp_path)
    assert status == ports.debug_exit_status(1), console
    assert "cmdline from QEMU\n" in console
    assert (" type 00000002 00001400\n" in console) == bool(extra)  # SETUP_DTB
    assert serial == console


@pytest.mark.parametrize("name", ["ia32", "x64"])
def test_memtest86plus(name: str, tmp_path: Path) -> None:
    """A kernel that is not Linux, neither relocatable nor compressed."""
    kernel = debian.package_file("memtest86+", f"boot/memtest86+{name}.bin")
    machine = {"ia32": "pc", "x64": "microvm"}[name]
    guest = Guest(machine, 32 * MIB, kernel=kernel, append="console=ttyS0,115200")
    found = serial_until(guest, tmp_path, "Status: Testing", 100)
    assert "Status: Testing" in found
