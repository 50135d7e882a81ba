"""Kernel files made to take memory or time: one line, or a departure, and little of either."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from fwbuild import cli
from fwbuild.errors import ExitCode
from fwbuild.kernel.vmlinux import LIMITED
from fwbuild.payloads.test_kernel import build_test_bzimage
from tests.support.multiboot import multiboot1

NOTE = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", 0x100000)
BASE = 0x100000


def elf64(segments: list[tuple[int, int, int, int]], data: bytes) -> bytes:
    """`segments` are (type, offset in `data`, bytes there, bytes in memory)."""
    start = 64 + 56 * len(segments)
    head = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, BASE, 64, 0, 0, 64, 56, len(segments),
        0, 0, 0,
    )  # fmt: skip
    rows = [
        struct.pack("<IIQQQQQQ", kind, 7, start + at, BASE, BASE, size, memory, 4)
        for kind, at, size, memory in segments
    ]
    return head + b"".join(rows) + data


def setup_data(first: int, *, following: int, length: int) -> bytes:
    """The test kernel with an item of setup_data behind it."""
    kernel = build_test_bzimage()
    at = BASE + len(build_test_bzimage()) - 1024
    item = struct.pack("<QII", following or at, 1, length)
    return build_test_bzimage(setup_data=first or at) + item + kernel[:4]


# name: (file, exit code)
FILES: dict[str, tuple[Callable[[], bytes], ExitCode]] = {
    "a segment of 4 GiB": (
        lambda: elf64([(1, 0, 20, 0xFFE00000), (4, 0, 20, 20)], NOTE), ExitCode.KERNEL),
    "200 note segments over the same bytes": (
        lambda: elf64([(1, 0, 20, 20), *[(4, 0, 1 << 20, 1 << 20)] * 200], bytes(1 << 20)),
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
    start = 52 + 32 * count
    head = struct.pack(
        "<16sHHIIIIIHHHHHH", b"\x7fELF\1\1\1", 2, 3, 1, BASE, 52, 0, 0, 52, 32, count, 0, 0, 0
    )
    row = struct.pack("<IIIIIIII", 1, start, BASE, BASE, size, size, 7, 4)
    header = struct.pack("<III", 0x1BADB002, 0, -0x1BADB002 & 0xFFFFFFFF)
    return head + row * count + header.ljust(size, b"\0")


# Files that QEMU may load, beyond the limits of fwbuild's own.
LIMITS: dict[str, Callable[[], bytes]] = {
    "notes of 2 MiB": lambda: elf64([(1, 0, 20, 20), (4, 0, 2 << 20, 2 << 20)], bytes(2 << 20)),
    "Multiboot segments of 520 MiB": lambda: many_segments(130, 4 << 20),
    "segments of 1 GiB": lambda: elf64([(1, 0, 20, 1 << 30), (4, 0, 20, 20)], NOTE),
}


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
