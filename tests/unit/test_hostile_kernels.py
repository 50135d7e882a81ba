"""Kernel files made to take memory or time: one line, or a departure, and little of either."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from fwbuild import cli
from fwbuild.errors import ExitCode
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
    assert cli.main(["emulate", "--kernel", str(tmp_path / "k")]) == code
    assert capsys.readouterr().err.count("\n") == 1


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
    assert cli.main(["emulate", "--kernel", str(tmp_path / "k")]) == ExitCode.JUDGEMENT
    assert "points nowhere: " in capsys.readouterr().out
