"""Kernel files made to take memory or time: one line, or a departure, and little of either."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from fwbuild import cli
from fwbuild.abi import elf
from fwbuild.errors import ExitCode
from fwbuild.inspection import inspect
from fwbuild.kernel.vmlinux import LIMITED
from fwbuild.payloads.test_kernel import build_test_bzimage
from tests.support.elf_files import BASE, LOAD, NOTE, NOTES, Row, elf_file
from tests.support.multiboot import multiboot1

MIB = 1 << 20


def setup_data(first: int, *, following: int, length: int) -> bytes:
    """The test kernel with an item of setup_data behind it."""
    kernel = build_test_bzimage()
    at = BASE + len(build_test_bzimage()) - 1024
    item = struct.pack("<QII", following or at, 1, length)
    return build_test_bzimage(setup_data=first or at) + item + kernel[:4]


# name: (file, exit code)
FILES: dict[str, tuple[Callable[[], bytes], ExitCode]] = {
    "a segment of 4 GiB": (
        lambda: elf_file([Row(elf.PT_LOAD, memsz=0xFFE00000), NOTES]), ExitCode.KERNEL),
    "200 note segments over the same bytes": (
        lambda: elf_file([LOAD, *[Row(elf.PT_NOTE, filesz=MIB)] * 200], bytes(MIB)),
        ExitCode.KERNEL),
    "Multiboot that passes 4 GiB": (
        lambda: multiboot1(load=0xFFFFF000, header=0xFFFFF000), ExitCode.KERNEL),
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", FILES)
def test_file(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, code = FILES[name]
    (tmp_path / "k").write_bytes(make())
    assert cli.main(["verify", "--kernel", str(tmp_path / "k")]) == code
    assert capsys.readouterr().err.count("\n") == 1


def many_segments(count: int, size: int) -> bytes:
    """A 32-bit Multiboot ELF file of `count` segments over the same `size` bytes."""
    header = struct.pack("<III", 0x1BADB002, 0, -0x1BADB002 & 0xFFFFFFFF)
    rows = [Row(elf.PT_LOAD, 0, size, size, BASE + i * size) for i in range(count)]
    return elf_file(rows, header.ljust(size, b"\0"), bits=32)


# Files that QEMU may load, beyond the limits of fwbuild's own.
LIMITS: dict[str, Callable[[], bytes]] = {
    "notes of 2 MiB": lambda: elf_file([LOAD, Row(elf.PT_NOTE, filesz=2 * MIB)], bytes(2 * MIB)),
    "Multiboot segments of 520 MiB": lambda: many_segments(130, 4 << 20),
    "Multiboot of 300 MiB": lambda: multiboot1(bss_end=BASE + 300 * MIB),
    "segments of 300 MiB": lambda: elf_file(
        [NOTES, *(Row(elf.PT_LOAD, 0, MIB, MIB, BASE + i * MIB) for i in range(300))],
        NOTE.ljust(MIB, b"\0")),
    "1100 program headers": lambda: elf_file([LOAD] * 1100),
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_of_our_own_is_no_refusal_of_qemu(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "k").write_bytes(LIMITS[name]())
    assert cli.main(["emulate", "--kernel", str(tmp_path / "k")]) == ExitCode.KERNEL
    assert f"{LIMITED}: " in capsys.readouterr().err
    cli.main(["inspect", str(tmp_path / "k")])
    said = capsys.readouterr().out
    assert "QEMU refuses" not in said
    assert "Error while loading" not in said


CHAINS = {
    "that points at itself": (0, 0, 4),
    "of 4 GiB": (0, 0, 0xFFFFFFF0),
    "outside RAM": (0xDEADBEEF, 0, 4),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", CHAINS)
def test_setup_data(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, following, length = CHAINS[name]
    (tmp_path / "k").write_bytes(setup_data(first, following=following, length=length))
    assert cli.main(["verify", "--kernel", str(tmp_path / "k")]) == ExitCode.JUDGEMENT
    assert "points nowhere: " in capsys.readouterr().out


def test_a_note_segment_aligned_to_0() -> None:
    """Of no alignment, by the ABI. QEMU divides by it; the firmware does not look."""
    found = inspect(elf_file([LOAD, Row(elf.PT_NOTE, align=0)]), Path("kernel"))
    assert "SIGFPE" in found.qemu and found.protocol is None
    assert ["SIGFPE" in problem.what for problem in found.problems] == [True]
    assert found.by_file and found.by_file.protocol == "pvh"
