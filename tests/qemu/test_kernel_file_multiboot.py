"""Real QEMU without a -kernel: Multiboot kernels that the firmware loads from fw_cfg's files."""

import subprocess
from pathlib import Path

import pytest

from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import build_test_multiboot
from fwbuild.protocols import MULTIBOOT
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


@pytest.mark.parametrize("bits", [32, 64])
def test_gnumach(bits: int, tmp_path: Path) -> None:
    """The Hurd's kernel reads map, ACPI and module. The module is no program: it says so."""
    module = tmp_path / "module"
    module.write_bytes(b"no script")
    guest = Guest(
        "pc",
        kernel=debian.gnumach(bits),
        initrd=Path(f"{module} prog $(task-create)"),
        append="gnumach console=com0",
        firmware_loads=True,
    )
    text = serial_until(guest, tmp_path, "executable module", 60)
    assert "module 0: prog $(task-create)" in text
    assert "1 multiboot modules" in text
    assert "Cannot load user executable module" in text
