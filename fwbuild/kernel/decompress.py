"""Decompresses a kernel's payload, whatever the compression, by libraries.

Linux appends the size of the uncompressed data to the payload (4 bytes, little-endian), or
gzip does. It bounds the output: a stream that gives more is an error.
"""

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import lz4.block
import lzallright
import zstandard

from fwbuild.kernel import lzop

LZ4_CHUNK = 8 << 20  # the legacy frame's blocks hold this much at most
BLOCKS_MAX = 1 << 14  # of 384 MiB lz4 makes 48, lzop 1536; each takes its time, however small
SIZE_MAX = 384 << 20  # uncompressed
PIECE = 1 << 20  # of output, and of gzip's input, at a time
ZSTD_PIECE = 512  # of input at a time, which gives 16 MiB at most: a run is 4 bytes long
MEMORY_MAX = 192 << 20  # what an xz stream may ask for its dictionary; kernels take 128 MiB

Decompress = Callable[[bytes, int], bytes]


class PayloadError(Exception):
    """The payload is damaged, or compressed in a way that is not known."""


class BlocksError(Exception):
    """The payload has more blocks than any compressor makes."""


class _Stream(Protocol):
    """A decompressor that keeps the input it has not come to."""

    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _join(pieces: Iterable[bytes], size: int) -> bytes:
    """The pieces up to the one that passes `size`. They are in memory once, as BytesIO gives its
    own buffer away."""
    found = io.BytesIO()
    for piece in pieces:
        found.write(piece)
        if found.tell() > size:
            break
    return found.getvalue()


def _join_blocks(blocks: Iterable[bytes], size: int) -> bytes:
    """The same of a format whose blocks are compressed one by one."""

    def pieces() -> Iterator[bytes]:
        for number, block in enumerate(blocks, 1):
            if number > BLOCKS_MAX:
                raise BlocksError(f"it has more than {BLOCKS_MAX} blocks")
            yield block

    return _join(pieces(), size)


def _whole(found: bytes, size: int, ended: bool) -> bytes:
    """`found`, if the stream came to its end and so checked its own checksum."""
    if len(found) <= size and not ended:
        raise PayloadError("the stream is cut short")
    return found


def _rest(stream: _Stream, data: bytes = b"") -> Iterator[bytes]:
    """What a stream still gives, with `data` for more input."""
    piece = stream.decompress(data, PIECE)
    while piece:
        yield piece
        piece = b"" if stream.eof else stream.decompress(b"", PIECE)


def _gzip(data: bytes, size: int) -> bytes:
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def pieces() -> Iterator[bytes]:
        at = 0
        while at < len(data) and not stream.eof:
            given = data[at : at + PIECE]
            yield stream.decompress(given, PIECE)
            at += len(given) - len(stream.unconsumed_tail)
        if not stream.eof:
            yield from _rest(stream)

    return _whole(_join(pieces(), size), size, stream.eof)


def _lzma(data: bytes, size: int) -> bytes:
    stream = lzma.LZMADecompressor(memlimit=MEMORY_MAX)
    return _whole(_join(_rest(stream, data), size), size, stream.eof)


def _bzip2(data: bytes, size: int) -> bytes:
    stream = bz2.BZ2Decompressor()
    return _whole(_join(_rest(stream, data), size), size, stream.eof)


def _zstd(data: bytes, size: int) -> bytes:
    stream = zstandard.ZstdDecompressor().decompressobj()

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(data), ZSTD_PIECE):
            yield stream.decompress(data[at : at + ZSTD_PIECE])
            if stream.eof:
                break

    return _whole(_join(pieces(), size), size, stream.eof)


def _lz4(data: bytes, size: int) -> bytes:
    """The legacy frame: a magic, then blocks, each after its compressed size (u32)."""

    def blocks() -> Iterator[bytes]:
        at = 4
        while at + 4 <= len(data):
            length = int.from_bytes(data[at : at + 4], "little")
            block = data[at + 4 : at + 4 + length]
            if not length or len(block) < length:
                break
            yield lz4.block.decompress(block, uncompressed_size=LZ4_CHUNK)
            at += 4 + length

    return _join_blocks(blocks(), size)


def _lzo(data: bytes, size: int) -> bytes:
    return _join_blocks(lzop.blocks(data), size)


FORMATS: dict[bytes, tuple[str, Decompress]] = {
    b"\x1f\x8b": ("gzip", _gzip),
    b"\xfd7zXZ\0": ("xz", _lzma),
    b"\x5d\0\0": ("lzma", _lzma),
    b"BZh": ("bzip2", _bzip2),
    b"\x28\xb5\x2f\xfd": ("zstd", _zstd),
    b"\x02\x21\x4c\x18": ("lz4", _lz4),
    lzop.MAGIC: ("lzo", _lzo),
}

DAMAGED = (
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    zstandard.ZstdError,
    lz4.block.LZ4BlockError,
    lzallright.LZOError,
    lzop.LzopError,
    BlocksError,
)


def compression(data: bytes) -> str | None:
    """The name of the format that `data` starts in, None for an unknown one."""
    return next((name for magic, (name, _) in FORMATS.items() if data.startswith(magic)), None)


def decompress(payload: bytes) -> tuple[str, bytes]:
    """(format, uncompressed data) of a payload that ends in its uncompressed size."""
    found_format = next((f for magic, f in FORMATS.items() if payload.startswith(magic)), None)
    if not found_format:
        raise PayloadError(f"unknown compression {payload[:6].hex()}")
    name, function = found_format
    size = int.from_bytes(payload[-4:], "little")
    if not 0 < size <= SIZE_MAX:
        raise PayloadError(f"it claims {size} bytes uncompressed")
    body = payload if name == "gzip" else payload[:-4]
    try:
        found = function(body, size)
    except DAMAGED as error:
        raise PayloadError(f"{name}: {error}") from None
    if len(found) != size:
        raise PayloadError(f"{name}: the stream gives other than the {size} bytes it claims")
    return name, found
