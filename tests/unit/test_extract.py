"""Taking the vmlinux out of bzImages that the test makes, good and bad."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import lz4.block
import pytest
import zstandard

from fwbuild import cli
from fwbuild.abi import linux_boot
from fwbuild.errors import ExitCode
from fwbuild.image.test_kernel import build_test_kernel
from fwbuild.kernel.bzimage import extract_vmlinux

KERNEL = build_test_kernel()
SIZE = len(KERNEL).to_bytes(4, "little")


def lz4_legacy(data: bytes) -> bytes:
    block = lz4.block.compress(data, store_size=False)
    return b"\x02\x21\x4c\x18" + len(block).to_bytes(4, "little") + block


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lambda d: lzma.compress(d, check=lzma.CHECK_CRC32) + SIZE,
    "lzma": lambda d: lzma.compress(d, format=lzma.FORMAT_ALONE) + SIZE,
    "bzip2": lambda d: bz2.compress(d) + SIZE,
    "zstd": lambda d: zstandard.ZstdCompressor().compress(d) + SIZE,
    "lz4": lambda d: lz4_legacy(d) + SIZE,
}


def bzimage(payload: bytes, length: int | None = None, version: int = 0x20F) -> bytes:
    header = linux_boot.SETUP_HEADER.parse(bytes(linux_boot.SETUP_HEADER.sizeof()))
    header.update({
        "setup_sects": 1, "boot_flag": 0xAA55, "header": b"HdrS", "version": version,
        "payload_offset": 16, "payload_length": len(payload) if length is None else length,
    })  # fmt: skip
    built = bytes(linux_boot.SETUP_HEADER.build(header))
    return built.ljust(1024, b"\0") + bytes(16) + payload + b"tail"


@pytest.mark.parametrize("name", COMPRESS)
def test_formats(name: str, tmp_path: Path) -> None:
    path = tmp_path / "vmlinuz"
    path.write_bytes(bzimage(COMPRESS[name](KERNEL)))
    assert extract_vmlinux(path) == (name, KERNEL)


def test_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "vmlinuz", tmp_path / "vmlinux"
    path.write_bytes(bzimage(COMPRESS["zstd"](KERNEL)))
    assert cli.main(["extract", str(path), "--out", str(out)]) == 0
    assert out.read_bytes() == KERNEL
    assert "PVH entry 0x100000" in capsys.readouterr().out


def test_without_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kernel = KERNEL.replace(b"Xen\0", b"Xon\0")
    path, out = tmp_path / "vmlinuz", tmp_path / "vmlinux"
    path.write_bytes(bzimage(gzip.compress(kernel)))
    assert cli.main(["extract", str(path), "--out", str(out)]) == 0
    assert out.read_bytes() == kernel
    assert "no PVH ELF note" in capsys.readouterr().out


LIE = (len(KERNEL) // 2).to_bytes(4, "little")
BAD = {
    "size too small, zstd": bzimage(COMPRESS["zstd"](KERNEL)[:-4] + LIE),
    "size too small, lz4": bzimage(COMPRESS["lz4"](KERNEL)[:-4] + LIE),
    "size too small, xz": bzimage(COMPRESS["xz"](KERNEL)[:-4] + LIE),
    "size of 4 GiB": bzimage(COMPRESS["xz"](KERNEL)[:-4] + b"\xff\xff\xff\xff"),
    "size of 0": bzimage(COMPRESS["xz"](KERNEL)[:-4] + bytes(4)),
    "unknown compression": bzimage(b"whatever this is"),
    "file cut short": bzimage(COMPRESS["xz"](KERNEL))[:1200],
    "length lies": bzimage(COMPRESS["xz"](KERNEL), length=1 << 20),
    "old protocol": bzimage(COMPRESS["xz"](KERNEL), version=0x207),
    "payload is no ELF": bzimage(gzip.compress(b"hello hello")),
    "too short": b"MZ",
    **{
        f"{name} stream cut short": bzimage(c(KERNEL)[: len(c(KERNEL)) // 2] + SIZE)
        for name, c in COMPRESS.items()
    },
    **{
        f"{name} without its end": bzimage(COMPRESS[name](KERNEL)[:-12] + SIZE)
        for name in ("xz", "bzip2")
    },
}


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "vmlinuz", tmp_path / "vmlinux"
    path.write_bytes(BAD[name])
    assert cli.main(["extract", str(path), "--out", str(out)]) == ExitCode.KERNEL
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


def test_bomb_is_bounded(tmp_path: Path) -> None:
    """A stream that gives far more than it claims is not unpacked whole."""
    path = tmp_path / "vmlinuz"
    path.write_bytes(bzimage(lzma.compress(bytes(1 << 28)) + (1 << 20).to_bytes(4, "little")))
    assert cli.main(["extract", str(path), "--out", str(tmp_path / "o")]) == ExitCode.KERNEL
