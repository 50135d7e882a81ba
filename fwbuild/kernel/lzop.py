"""Reads an lzop file, the container of an LZO kernel's payload, around a library's LZO1X.

Source: lzop 1.04, src/conf.h and lzop.c; Linux, lib/decompress_unlzo.c, which takes blocks of
256 KiB at most. All fields are big-endian.
"""

import io
import zlib
from collections.abc import Iterator
from enum import IntFlag
from typing import Any

import lzallright
from construct import (
    Bytes,
    Const,
    ConstError,
    GreedyBytes,
    If,
    Int8ub,
    Int16ub,
    Int32ub,
    Prefixed,
    RawCopy,
    StreamError,
    Struct,
    this,
)

MAGIC = b"\x89LZO\0\r\n\x1a\n"
VERSION_MIN = 0x0940  # the first whose header has the fields below
BLOCK_MAX = 256 << 10


class Flag(IntFlag):
    """Bits of the header's flags: the checksums of a block's data (D) and of its compressed
    form (C), and what else the file has."""

    ADLER32_D = 1 << 0
    ADLER32_C = 1 << 1
    EXTRA_FIELD = 1 << 6
    CRC32_D = 1 << 8
    CRC32_C = 1 << 9
    MULTIPART = 1 << 10
    FILTER = 1 << 11
    HEADER_CRC32 = 1 << 12  # the header's own is a CRC, not Adler-32


UNKNOWN = Flag.EXTRA_FIELD | Flag.MULTIPART | Flag.FILTER

HEADER = Struct(
    Const(MAGIC),
    "fields" / RawCopy(Struct(
        "version" / Int16ub,
        "library_version" / Int16ub,
        "version_needed" / Int16ub,
        "method" / Int8ub,
        "level" / Int8ub,
        "flags" / Int32ub,
        "mode" / Int32ub,
        "mtime_low" / Int32ub,
        "mtime_high" / Int32ub,
        "name" / Prefixed(Int8ub, GreedyBytes),
    )),
    "checksum" / Int32ub,
)  # fmt: skip

# A block that does not get smaller is stored, and then has no checksum of its compressed form.
BLOCK = Struct(
    "size" / Int32ub,
    "stored_size" / Int32ub,
    "adler32" / If(lambda c: c._.flags & Flag.ADLER32_D, Int32ub),
    "crc32" / If(lambda c: c._.flags & Flag.CRC32_D, Int32ub),
    If(lambda c: c._.flags & Flag.ADLER32_C and c.stored_size < c.size, Int32ub),
    If(lambda c: c._.flags & Flag.CRC32_C and c.stored_size < c.size, Int32ub),
    "data" / Bytes(this.stored_size),
)
END = bytes(4)  # in the place of the next block's size


class LzopError(Exception):
    """The file is damaged, or uses what lzop offers and kernels do not."""


def blocks(data: bytes) -> Iterator[bytes]:
    """The contents of an lzop file, a block at a time, every checksum compared."""
    stream = io.BytesIO(data)
    try:
        flags = _flags(stream)
        while not data.startswith(END, stream.tell()):
            yield _content(BLOCK.parse_stream(stream, flags=flags))
    except (StreamError, ConstError):
        raise LzopError("the file is cut short") from None


def _flags(stream: io.BytesIO) -> int:
    """The flags in the header of a file that this reader knows all of."""
    header = HEADER.parse_stream(stream)
    fields = header.fields.value
    if fields.version < VERSION_MIN or fields.flags & UNKNOWN:
        raise LzopError(f"version {fields.version:#x} with flags {fields.flags:#x}")
    check = zlib.crc32 if fields.flags & Flag.HEADER_CRC32 else zlib.adler32
    if check(header.fields.data) != header.checksum:
        raise LzopError("the header's checksum is wrong")
    return int(fields.flags)


def _content(block: Any) -> bytes:
    if not 0 < block.stored_size <= block.size <= BLOCK_MAX:
        raise LzopError(f"a block of {block.size} bytes, stored as {block.stored_size}")
    data = bytes(block.data)
    if block.stored_size < block.size:
        data = lzallright.LZOCompressor.decompress(data, block.size)
    if len(data) != block.size:
        raise LzopError(f"a block gives {len(data)} bytes, not {block.size}")
    for stated, check in ((block.adler32, zlib.adler32), (block.crc32, zlib.crc32)):
        if stated not in (None, check(data)):
            raise LzopError("a block's checksum is wrong")
    return data
