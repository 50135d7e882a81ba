"""Files made to take memory or time, each in a process of its own whose use is measured.

The promise is 1 GiB and 20 s for any file of up to 64 MiB. These are small and quick to make, so
that they are cheap, and each takes far more where a limit is missing.
"""

import gzip
import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fwbuild.abi import elf
from tests.support.bzimages import bzimage
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
    "16 MiB of empty lists": (
        ["verify", "--recording"], lambda: b'{"keys":[' + b"[]," * (5 * MIB) + b"[]]}"),
    "64 KiB of tables": (
        ["build", "--template"], lambda: b"".join(b"[x%d.y.z]\n" % i for i in range(5000))),
    "a bomb of gzip": (
        ["inspect"], lambda: bzimage(gzip.compress(bytes(300 * MIB), 1))),
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
