"""Real QEMU without a -kernel: the firmware loads it from fw_cfg's files."""

import subprocess
from pathlib import Path

import pytest

from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.machines import MACHINES
from fwbuild.qemu.command import command
from fwbuild.qemu.program import program
from fwbuild.sizes import MIB
from tests.support import debian
from tests.support.booted import booted
from tests.support.noted import link
from tests.support.vmlinux64 import vmlinux64, without_note

pytestmark = [pytest.mark.qemu, pytest.mark.versions]


@pytest.mark.parametrize("name", MACHINES)
def test_same_state(name: str, image: Image, tmp_path: Path, test_kernel: bytes) -> None:
    kernel, initrd = tmp_path / "kernel", tmp_path / "initrd"
    kernel.write_bytes(test_kernel)
    initrd.write_bytes(bytes(range(256)) * 16)
    guest = Guest(name, kernel=kernel, initrd=initrd, append="a=b,c d", firmware_loads=True)
    with booted(guest, image, tmp_path) as pair:
        pair.agree()


def test_a_kernel_that_qemu_refuses(image: Image, tmp_path: Path) -> None:
    """Its PVH note stands behind one of other alignment."""
    kernel = link("behind GNU's", 4, tmp_path)
    refused = subprocess.run(
        [program().path, "-M", "pc", "-display", "none", "-kernel", str(kernel)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "without PVH ELF Note" in refused.stderr
    with booted(Guest("pc", kernel=kernel, firmware_loads=True), image, tmp_path) as pair:
        pair.agree()


@pytest.mark.parametrize("name", MACHINES)
def test_a_vmlinux_without_a_note(name: str, image: Image, tmp_path: Path) -> None:
    """In long mode."""
    kernel, initrd = tmp_path / "kernel", tmp_path / "initrd"
    kernel.write_bytes(vmlinux64())
    initrd.write_bytes(bytes(range(256)) * 16)
    guest = Guest(name, kernel=kernel, initrd=initrd, append="a=b,c d", firmware_loads=True)
    with booted(guest, image, tmp_path) as pair:
        pair.agree()
        assert pair.real.registers["efer"] == pair.machine.outcome.registers["efer"] == 0x500


INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc none /proc
/bin/busybox echo "in userspace: $(/bin/busybox cat /proc/cmdline)"
/bin/busybox reboot -f
"""


@pytest.mark.parametrize("name", MACHINES)
def test_linux_without_a_note(name: str, bios: Path, tmp_path: Path) -> None:
    """Debian's vmlinux, its note struck out, comes to its initrd's init."""
    serial, kernel = tmp_path / "serial", tmp_path / "vmlinux"
    kernel.write_bytes(without_note(debian.cloud_vmlinux().read_bytes()))
    initrd = debian.make_initrd(tmp_path, INIT)
    append = debian.append(Guest(name).family, "quiet")
    guest = Guest(name, 512 * MIB, kernel=kernel, initrd=initrd, append=append, firmware_loads=True)
    argv = [*command(guest, bios=bios), "-serial", f"file:{serial}"]
    subprocess.run(argv, timeout=150, check=False)
    assert f"in userspace: {append}" in serial.read_text(errors="replace")


@pytest.mark.parametrize("name", MACHINES)
def test_linux(name: str, bios: Path, tmp_path: Path) -> None:
    """Debian's vmlinux comes up to where it looks for a root file system."""
    serial = tmp_path / "serial"
    append = debian.append(Guest(name).family, "root=/dev/none")
    guest = Guest(
        name, 512 * MIB, kernel=debian.cloud_vmlinux(), append=append, firmware_loads=True
    )
    argv = [*command(guest, bios=bios), "-serial", f"file:{serial}"]
    subprocess.run(argv, timeout=150, check=False)
    text = serial.read_text(errors="replace")
    assert f"Command line: {append}" in text
    assert "Unable to mount root fs" in text
