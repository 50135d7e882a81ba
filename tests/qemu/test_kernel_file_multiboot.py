"""Real QEMU without a -kernel: Multiboot kernels that the firmware loads from fw_cfg's files."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import build_test_multiboot
from fwbuild.protocols import MULTIBOOT, MULTIBOOT2
from fwbuild.qemu.program import program
from tests.support import debian, hobby
from tests.support.boot import serial_until
from tests.support.booted import booted

pytestmark = [pytest.mark.qemu, pytest.mark.versions]


@pytest.mark.parametrize("name", MACHINES)
def test_same_state(name: str, image: Image, tmp_path: Path) -> None:
    """A 64-bit file, which QEMU refuses, and modules with command lines."""
    kernel, module = tmp_path / "kernel", tmp_path / "module"
    kernel.write_bytes(hobby.elf64(build_test_multiboot(), tmp_path))
    module.write_bytes(bytes(range(256)) * 30)
    refused = subprocess.run(
        [program().path, "-M", name, "-display", "none", "-kernel", str(kernel)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "give a 32bit one" in refused.stderr
    initrd = Path(f"{module} a b,{module}")
    guest = Guest(name, kernel=kernel, initrd=initrd, append="a=b,c", firmware_loads=True)
    with booted(guest, image, tmp_path) as pair:
        pair.agree()
        assert [text for _, _, text in MULTIBOOT.read(pair.real).modules] == [b"a b", b""]


def test_a_hobby_kernel(image: Image, tmp_path: Path) -> None:
    kernel = hobby.link(hobby.HEADER1.format(flags=3), tmp_path)
    with booted(Guest("q35", kernel=kernel, firmware_loads=True), image, tmp_path) as pair:
        pair.agree()


@pytest.mark.parametrize("kind", debian.GNUMACH)
def test_gnumach(kind: str, tmp_path: Path) -> None:
    """The Hurd's kernel, by Multiboot 1 or 2, reads map, ACPI and module. The module is no program:
    it says so."""
    module = tmp_path / "module"
    module.write_bytes(b"no script")
    guest = Guest(
        "pc",
        kernel=debian.gnumach(kind),
        initrd=Path(f"{module} prog $(task-create)"),
        append="gnumach console=com0",
        firmware_loads=True,
    )
    text = serial_until(guest, tmp_path, "executable module", 60)
    assert "module 0: prog $(task-create)" in text
    assert "1 multiboot modules" in text
    assert "Cannot load user executable module" in text


@pytest.mark.parametrize("name", MACHINES)
def test_same_state_of_multiboot2(name: str, image: Image, tmp_path: Path) -> None:
    """A kernel that wants to lie as high as it can, and modules with command lines."""
    module = tmp_path / "module"
    module.write_bytes(bytes(range(256)) * 30)
    tags = hobby.tag(1, 1, 3, 4, 6, 9) + hobby.tag(10, 0x100000, 0xFFFFFFFF, 0x200000, 2)
    kernel = hobby.link(hobby.HEADER2.format(tags=tags), tmp_path)
    initrd = Path(f"{module} a b,{module}")
    guest = Guest(name, kernel=kernel, initrd=initrd, append="a=b,c", firmware_loads=True)
    with booted(guest, image, tmp_path) as pair:
        pair.agree()
        assert [text for _, _, text in MULTIBOOT2.read(pair.real).modules] == [b"a b", b""]


def test_xen(tmp_path: Path) -> None:
    """Xen has headers of Multiboot 1 and 2 and a PVH note. By Multiboot 2 it may be moved. It drops
    the first word of its command line, as it does where another than GRUB has loaded it."""
    module = tmp_path / "module"
    module.write_bytes(b"no Linux")
    append = "xen console=com1 loglvl=all"
    guest = Guest("q35", kernel=debian.xen(), append=append, firmware_loads=True)
    guest = replace(guest, initrd=Path(f"{module} vmlinuz"))
    text = serial_until(guest, tmp_path, "dom0 kernel", 60)
    assert "Bootloader: fwbuild" in text
    assert "Command line: console=com1 loglvl=all" in text
    assert "Xen image load base address: 0x1fa00000" in text
    assert "[0000000000100000, " in text
