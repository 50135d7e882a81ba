"""Files made to take memory or time, each in a process of its own whose use is measured.

The promise is 1 GiB and 20 s for any file of up to 64 MiB. These are small and quick to make, so
that they are cheap, and each takes far more where a limit is missing.
"""

import gzip
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from fwbuild.abi import e820, elf
from fwbuild.emulator import recording
from fwbuild.firmware import file_names
from fwbuild.guest import Guest
from fwbuild.payloads.test_kernel import build_test_kernel
from tests.support.bzimages import bzimage
from tests.support.efi import uki
from tests.support.elf_files import BASE, LOAD, NOTE, NOTES, Row, elf_file
from tests.support.multiboot import multiboot1

MIB = 1 << 20
MEMORY, SECONDS = 1 << 30, 20
MULTIBOOT = struct.pack("<III", 0x1BADB002, 0, -0x1BADB002 & 0xFFFFFFFF)

# A process's peak includes that of the process it was forked from, until its exec: what is measured
# is forked from a small one, not from that of the tests.
MEASURE = """
import json, resource, subprocess, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
done = subprocess.run(sys.argv[2:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, used.ru_maxrss, used.ru_utime + used.ru_stime]))
"""


def over_each_other(count: int, data: bytes, bits: int) -> bytes:
    """`count` segments of the same bytes in the file, one after the other in memory."""
    size = len(data)
    rows = [Row(elf.PT_LOAD, 0, size, size, BASE + i * size) for i in range(count)]
    return elf_file([*rows, NOTES], data, bits=bits)


def tiny_lzo_blocks(count: int) -> bytes:
    """An lzop file of blocks of one byte, with no checksum but the header's."""
    fields = struct.pack(">HHHBBIIIIB", 0x1030, 0x2080, 0x0940, 1, 1, 0, 0, 0, 0, 0)
    head = b"\x89LZO\0\r\n\x1a\n" + fields + struct.pack(">I", zlib.adler32(fields))
    return head + struct.pack(">IIc", 1, 1, b"A") * count + bytes(4) + struct.pack("<I", 300 * MIB)


def wide_window(zeros: int, after: int) -> bytes:
    """zstd of so many zeros with a window of 128 MiB, and bytes behind the stream."""
    form = zstandard.ZstdCompressionParameters.from_level(1, window_log=27, write_content_size=0)
    packed = zstandard.ZstdCompressor(compression_params=form).compressobj()
    return packed.compress(bytes(zeros)) + packed.flush() + bytes(after) + struct.pack("<I", zeros)


def offering(name: str, content: bytes, machine: str = "microvm") -> bytes:
    """A recording of a host with this in the place of a file."""
    offer = recording.find(Guest(machine))
    kept = [replace(f, size=len(content), data=content) if f.name == name else f
            for f in offer.files]  # fmt: skip
    return replace(offer, files=kept).to_json().encode()


def numbers(magic: int) -> bytes:
    """An ELF file that is full of a number, behind where a header has to begin."""
    data = bytes(40_000) + struct.pack("<I", magic) * (6 * MIB)
    return elf_file([Row(elf.PT_LOAD, 0, 4096, 4096, BASE)], data, bits=64)


# name: (verb and its option for the file, the file)
FILES: dict[str, tuple[list[str], Callable[[], bytes]]] = {
    "480 MiB of zeros": (
        ["verify", "--kernel"], lambda: elf_file([Row(elf.PT_LOAD, memsz=480 * MIB), NOTES])),
    "200 segments of 1 MiB": (
        ["verify", "--kernel"], lambda: over_each_other(200, NOTE.ljust(MIB, b"\1"), 64)),
    "Multiboot of 250 MiB": (
        ["verify", "--kernel"], lambda: multiboot1(bss_end=BASE + 250 * MIB)),
    "the smallest notes": (
        ["inspect"], lambda: elf_file([LOAD, Row(elf.PT_NOTE, 0, 1 << 16, align=1)],
                                      bytes(1 << 16))),
    "1.5 million SMBIOS structures": (
        ["verify", "-M", "pc", "--recording"],
        lambda: offering(file_names.SMBIOS_TABLES, bytes([11, 4, 0, 0, 0, 0]) * 1_500_000,
                         "pc")),
    "16 MiB of empty lists": (
        ["verify", "--recording"], lambda: b'{"keys":[' + b"[]," * (5 * MIB) + b"[]]}"),
    "a template of tables": (
        ["build", "--template"], lambda: b"".join(b"[x%d.y.z]\n" % i for i in range(1200))),
    "a key of 8000 parts": (["build", "--template"], lambda: b"a" + b".a" * 8000 + b"=1\n"),
    "a key of 32000 parts": (["build", "--template"], lambda: b"a" + b".a" * 32_000 + b"=1\n"),
    "a memory map of 64 MiB": (["verify", "--recording"], lambda: offering(
        "etc/e820", e820.ENTRY.build({"addr": 0, "size": 4096, "type": 2}) * (3 * MIB))),
    "a UKI of short lines": (
        ["inspect"], lambda: uki({".linux": build_test_kernel(), ".osrel": b"ab\n" * (20 * MIB)})),
    "a bomb of gzip": (
        ["inspect"], lambda: bzimage(gzip.compress(bytes(300 * MIB), 1))),
    "a bomb of zstd with a tail": (
        ["inspect"], lambda: bzimage(wide_window(384 * MIB, 61 * MIB))),
    "lzo of tiny blocks": (["inspect"], lambda: bzimage(tiny_lzo_blocks(3 * MIB))),
    "Multiboot's number": (["inspect"], lambda: numbers(0x1BADB002)),
    "Multiboot 2's number": (["inspect"], lambda: numbers(0xE85250D6)),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_memory_and_time(name: str, tmp_path: Path) -> None:
    words, make = FILES[name]
    path = tmp_path / ("k.toml" if "--template" in words else "k")
    path.write_bytes(make())
    limit = 2 * SECONDS  # no more time than a failure needs to be seen
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, str(limit), sys.executable, "-m", "fwbuild", *words, path],
        capture_output=True,
        cwd=tmp_path,
        check=True,
    )
    status, kib, seconds = json.loads(measured.stdout)
    assert status > 1 or not measured.stderr
    assert measured.stderr.count(b"\n") <= 1
    assert kib << 10 < MEMORY
    assert seconds < SECONDS
