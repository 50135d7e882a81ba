"""`run` has the firmware load what QEMU refuses, and says so."""

from pathlib import Path

import pytest

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import Guest
from fwbuild.image.template import DEFAULT
from fwbuild.payloads.test_kernel import build_test_kernel
from fwbuild.verbs.run_kernel import chosen
from tests.support import hobby

NONE = ""
# a kernel's header in assembly, None for a vmlinux: the specification that the firmware takes it by
CASES: dict[str, tuple[str | None, str]] = {
    "Multiboot 2": (hobby.HEADER2.format(tags=""), "Multiboot2 specification"),
    "Multiboot in a 64-bit file": (hobby.HEADER1.format(flags=0), "Multiboot specification"),
    "no header": ("", NONE),
    "a PVH note": (None, NONE),
}


def kernel_of(header: str | None, folder: Path) -> Path:
    if header is not None:
        return hobby.link(header, folder)
    path = folder / "vmlinux"
    path.write_bytes(build_test_kernel())
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


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """QEMU says what is wrong with it."""
    path = tmp_path / "boot sector"
    path.write_bytes(bytes(510) + b"\x55\xaa")
    assert not chosen(Guest(kernel=path), [DEFAULT], tmp_path)[0].firmware_loads


def test_a_template_without_the_loader(tmp_path: Path) -> None:
    path = hobby.link(hobby.HEADER2.format(tags=""), tmp_path)
    with pytest.raises(FwbuildError, match=f"--template {DEFAULT}") as raised:
        chosen(Guest(kernel=path), ["linux"], tmp_path)
    assert raised.value.code == ExitCode.KERNEL


def test_a_kernel_that_both_refuse(tmp_path: Path) -> None:
    """A tag that has to be obeyed, and that nobody knows."""
    path = hobby.link(hobby.HEADER2.format(tags=hobby.tag(99, 0)), tmp_path)
    with pytest.raises(FwbuildError, match="99"):
        chosen(Guest(kernel=path), [DEFAULT], tmp_path)
