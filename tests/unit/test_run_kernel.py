"""`run` has the firmware load what QEMU refuses, and says so."""

import gzip
from pathlib import Path

import pytest

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.image.template import DEFAULT
from fwbuild.verbs.run_kernel import chosen
from tests.support import hobby
from tests.support.efi import uki
from tests.support.elf_files import LOAD, elf_file
from tests.support.small_kernel import vmlinux
from tests.support.vmlinux64 import vmlinux64

NONE = ""
# a kernel's header in assembly, or its file: the specification that the firmware takes it by
CASES: dict[str, tuple[str | bytes, str]] = {
    "Multiboot 2": (hobby.HEADER2.format(tags=""), "Multiboot2 specification"),
    "Multiboot in a 64-bit file": (hobby.HEADER1.format(flags=0), "Multiboot specification"),
    "no header, and a virtual entry": ("", NONE),
    "a PVH note": (vmlinux(b"\xf4"), NONE),
    "no PVH note": (vmlinux64(), "Linux 64-bit boot protocol"),
    "no PVH note, and 32 bits": (elf_file([LOAD], bits=32), NONE),
}


def kernel_of(header: str | bytes, folder: Path) -> Path:
    if isinstance(header, str):
        return hobby.link(header, folder)
    path = folder / "vmlinux"
    path.write_bytes(header)
    return path


@pytest.mark.parametrize("templates", [[DEFAULT], []])
@pytest.mark.parametrize("name", CASES)
def test_way(
    name: str, templates: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header, title = CASES[name]
    path = kernel_of(header, tmp_path)
    guest, kernel = chosen(Guest(kernel=path), templates, tmp_path)
    assert (guest.kernel, kernel) == (path, path.read_bytes())
    assert guest.firmware_loads == bool(title)
    said = capsys.readouterr().err
    assert said.count("\n") == bool(title)
    assert f"by the firmware's own loader ({title})" in said or not title


# name: (file, words of the error)
NO_KERNELS = {
    "boot sector": (bytes(510) + b"\x55\xaa", "a boot sector, not a kernel"),
    "raw Linux": (b"Linux version 6.1.0 (a) " + bytes(0x8000), "without its ELF header"),
    "text": (b"text" * 1000, "neither a kernel nor a firmware image"),
    "nothing": (b"", "the file is empty"),
    "compressed": (gzip.compress(bytes(100)), "gzip -dc"),
    "option ROM": (b"\x55\xaa\x03".ljust(1536, b"\0"), "option ROM, no kernel"),
    "EFI application": (uki({".text": b"code"}), "without a kernel in it"),
}


@pytest.mark.parametrize("name", NO_KERNELS)
def test_a_file_that_is_none(name: str, image: Image, tmp_path: Path) -> None:
    data, words = NO_KERNELS[name]
    path = tmp_path / "file"
    path.write_bytes(data)
    for ours in (b"", image.image):
        with pytest.raises(FwbuildError, match=words) as raised:
            chosen(Guest(kernel=path), [] if ours else [DEFAULT], tmp_path, image=ours)
        assert raised.value.code == ExitCode.KERNEL
        assert str(path) in str(raised.value)


def test_another_firmware_may_start_a_very_old_kernel(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"text" * 1000)
    guest, _ = chosen(Guest(kernel=path), [], tmp_path, image=bytes(1 << 16))
    assert guest == Guest(kernel=path)


def test_a_template_without_the_loader(tmp_path: Path) -> None:
    path = hobby.link(hobby.HEADER2.format(tags=""), tmp_path)
    with pytest.raises(FwbuildError, match=f"--template {DEFAULT}") as raised:
        chosen(Guest(kernel=path), ["linux"], tmp_path)
    assert raised.value.code == ExitCode.KERNEL


def test_an_image_without_the_loader(tmp_path: Path) -> None:
    """SeaBIOS and qboot know nothing of the file."""
    path = hobby.link(hobby.HEADER2.format(tags=""), tmp_path)
    with pytest.raises(FwbuildError, match="does not know Multiboot 2"):
        chosen(Guest(kernel=path), [], tmp_path, image=bytes(1 << 16))


def test_a_kernel_that_both_refuse(tmp_path: Path) -> None:
    """The firmware's reason is said: a tag that nobody knows, a video mode in a 64-bit file."""
    for header, words in (
        (hobby.HEADER2.format(tags=hobby.tag(99, 0)), "type 99"),
        (hobby.HEADER1.format(flags=4), "flags 0x4"),
    ):
        path = hobby.link(header, tmp_path)
        with pytest.raises(FwbuildError, match=words):
            chosen(Guest(kernel=path), [DEFAULT], tmp_path)
