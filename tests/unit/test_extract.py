"""Taking the vmlinux out of bzImages that the test makes, good and bad."""

import bz2
import gzip
import json
import lzma
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import lz4.block
import lzallright
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from fwbuild import cli
from fwbuild.errors import ExitCode
from fwbuild.kernel import lzop
from fwbuild.kernel.decompress import BLOCKS_MAX, PayloadError, decompress
from tests.support.bzimages import PROGRAMS, bzimage, compress
from tests.support.small_kernel import vmlinux

KERNEL = vmlinux(bytes(range(256)))  # for tables: its code is never run
SIZE = len(KERNEL).to_bytes(4, "little")


def lz4_legacy(data: bytes) -> bytes:
    block: bytes = lz4.block.compress(data, store_size=False)
    return b"\x02\x21\x4c\x18" + len(block).to_bytes(4, "little") + block


def lzop_file(
    data: bytes,
    block_size: int = lzop.BLOCK_MAX,
    flags: int = lzop.Flag.ADLER32_D,
    version: int = 0x1040,
) -> bytes:
    fields = b"".join(
        n.to_bytes(size, "big")
        for n, size in (
            (version, 2),
            (0x20A0, 2),
            (0x0940, 2),
            (3, 1),
            (9, 1),
            (flags, 4),
            (0, 4),
            (0, 4),
            (0, 4),
            (0, 1),
        )
    )
    found = b"\x89LZO\0\r\n\x1a\n" + fields + zlib.adler32(fields).to_bytes(4, "big")
    for at in range(0, len(data), block_size):
        block = data[at : at + block_size]
        packed = lzallright.LZOCompressor().compress(block)
        stored = packed if len(packed) < len(block) else block
        numbers = (len(block), len(stored), zlib.adler32(block))
        found += b"".join(n.to_bytes(4, "big") for n in numbers) + stored
    return found + bytes(4)


# By libraries, so that no unit test of what is bad needs a program.
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lambda d: lzma.compress(d, check=lzma.CHECK_CRC32) + SIZE,
    "lzma": lambda d: lzma.compress(d, format=lzma.FORMAT_ALONE) + SIZE,
    "bzip2": lambda d: bz2.compress(d) + SIZE,
    "zstd": lambda d: zstandard.ZstdCompressor().compress(d) + SIZE,
    "lz4": lambda d: lz4_legacy(d) + SIZE,
    "lzo": lambda d: lzop_file(d) + SIZE,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_formats(name: str) -> None:
    """More than a block of each format, compressed by the program that Linux's build runs."""
    data = (KERNEL + bytes(range(256)) * 9) * 700
    assert len(data) > 2 * lzop.BLOCK_MAX
    assert decompress(compress(name, data)) == (name, data)


@pytest.mark.parametrize("name", COMPRESS)
def test_verb(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "vmlinuz", tmp_path / "vmlinux"
    path.write_bytes(bzimage(COMPRESS[name](KERNEL)))
    assert cli.main(["extract", str(path), "--out", str(out)]) == 0
    assert out.read_bytes() == KERNEL
    text = capsys.readouterr().out
    assert f"from {name}, 32-bit, PVH entry 0x100000" in text
    assert cli.main(["extract", str(path), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "out": str(out),
        "size": len(KERNEL),
        "compression": name,
        "bits": 32,
        "pvh_entry": 0x100000,
        "problem": None,
    }


def test_without_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kernel = KERNEL.replace(b"\4\0\0\0\x12", b"\4\0\0\0\x13")  # of another type
    path, out = tmp_path / "vmlinuz", tmp_path / "vmlinux"
    path.write_bytes(bzimage(gzip.compress(kernel)))
    assert cli.main(["extract", str(path), "--out", str(out)]) == 0
    assert out.read_bytes() == kernel
    assert "no PVH ELF note" in capsys.readouterr().out


LIE = (len(KERNEL) // 2).to_bytes(4, "little")
MORE = (len(KERNEL) * 2).to_bytes(4, "little")
XZ = COMPRESS["xz"](KERNEL)
LZO = COMPRESS["lzo"](KERNEL)
BAD = {
    "size of 4 GiB": bzimage(XZ[:-4] + b"\xff\xff\xff\xff"),
    "size of 0": bzimage(XZ[:-4] + bytes(4)),
    "unknown compression": bzimage(b"whatever this is"),
    "file cut short": bzimage(XZ)[:1200],
    "length lies": bzimage(XZ, payload_length=1 << 20),
    "payload of 7 bytes": bzimage(XZ, payload_length=7),
    "old protocol": bzimage(XZ, version=0x207),
    "payload is no ELF": bzimage(gzip.compress(b"hello hello")),
    "payload is half an ELF": bzimage(gzip.compress(KERNEL[:60])),
    "too short": b"MZ",
    "lzop block too large": bzimage(
        lzop_file(bytes(lzop.BLOCK_MAX * 2), lzop.BLOCK_MAX * 2) + MORE),
    "lzop checksum of a block": bzimage(LZO[:50] + b"\xff" + LZO[51:]),
    "lzop checksum of the header": bzimage(LZO[:20] + b"\xff" + LZO[21:]),
    "lzop header of another program": bzimage(LZO[:13] + b"\xff" + LZO[14:]),
    "lzop with a filter": bzimage(lzop_file(KERNEL, flags=lzop.Flag.FILTER) + SIZE),
    "lzop of too many blocks": bzimage(
        lzop_file(bytes(BLOCKS_MAX + 1), 1) + struct.pack("<I", BLOCKS_MAX + 1)),
    "lz4 of too many blocks": bzimage(
        lz4_legacy(b"")[:4] + (BLOCKS_MAX + 1) * lz4_legacy(b"A")[4:]
        + struct.pack("<I", BLOCKS_MAX + 1)),
    "lzop of old": bzimage(lzop_file(KERNEL, version=0x0930) + SIZE),
    **{
        f"{name} stream cut short": bzimage(c(KERNEL)[: len(c(KERNEL)) // 2] + SIZE)
        for name, c in COMPRESS.items()
    },
    **{
        f"{name} without its end": bzimage(COMPRESS[name](KERNEL)[:-8] + SIZE)
        for name in COMPRESS
    },
    **{
        f"{name} of another size": bzimage(c(KERNEL)[:-4] + size)
        for name, c in COMPRESS.items()
        for size in (LIE, MORE)
    },
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "vmlinuz", tmp_path / "vmlinux"
    path.write_bytes(BAD[name])
    assert cli.main(["extract", str(path), "--out", str(out)]) == ExitCode.KERNEL
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


BOMB = bytes(1 << 27)
BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: gzip.compress(BOMB, 6),
    "xz": lambda: lzma.compress(BOMB, preset=0),
    "lzma": lambda: lzma.compress(BOMB, format=lzma.FORMAT_ALONE, preset=0),
    "bzip2": lambda: bz2.compress(BOMB),
    "zstd": lambda: zstandard.ZstdCompressor().compress(BOMB),
    "lz4": lambda: b"\x02\x21\x4c\x18" + 16 * lz4_legacy(BOMB[: 8 << 20])[4:],
    "lzo": lambda: lzop_file(BOMB),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_bounded(name: str) -> None:
    """A stream that gives far more than it claims is not unpacked whole."""
    payload = BOMBS[name]() + (1 << 20).to_bytes(4, "little")
    tracemalloc.start()
    with pytest.raises(PayloadError, match="other than the"):
        decompress(payload)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(BOMB) // 2


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(COMPRESS)), st.data())
def test_damage_is_found_or_harmless(name: str, data: st.DataObject) -> None:
    """Whatever byte is changed, the kernel comes out whole or an error does. (LZ4's legacy
    frame and this zstd stream have no checksum, so there only the size is certain.)"""
    payload = bytearray(COMPRESS[name](KERNEL))
    at = data.draw(st.integers(0, len(payload) - 5))
    payload[at] ^= data.draw(st.integers(1, 255))
    try:
        found = decompress(bytes(payload))[1]
    except PayloadError:
        return
    assert len(found) == len(KERNEL)
    if name not in ("lz4", "zstd", "lzma"):
        assert found == KERNEL
