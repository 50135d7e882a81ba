"""What looks like a Multiboot header and is none: `inspect` and `run` say why."""

import struct
from pathlib import Path

import pytest

from fwbuild.abi import multiboot, multiboot2
from fwbuild.abi.multiboot import HeaderFlag
from fwbuild.guest import Guest
from fwbuild.kernel.near_header import near_header
from fwbuild.protocols import ways
from fwbuild.verbs.run_kernel import by_firmware
from tests.support.elf_files import LOAD, elf_file
from tests.support.multiboot import multiboot1


def header1(flags: int = 3, wrong: int = 0) -> bytes:
    magic = multiboot.HEADER_MAGIC
    return struct.pack("<III", magic, flags, (wrong - magic - flags) % (1 << 32))


def header2(architecture: int = 0, wrong: int = 0) -> bytes:
    magic, size = multiboot2.HEADER_MAGIC, 24
    total = (wrong - magic - architecture - size) % (1 << 32)
    return struct.pack("<IIII", magic, architecture, size, total) + b"\0\0\0\0\x08\0\0\0"


# name: (header, its offset in the file, words of the reason; "": there is none to tell)
CASES = {
    "the checksum": (header1(wrong=1), 0x400, "Multiboot: what looks like its header at 0x400"),
    "its words": (header1(wrong=1), 0x400, "its checksum is wrong"),
    "an alignment": (header1(), 0x402, "not aligned to 4 bytes"),
    "too far": (header1(), 0x2000, "has to begin in the file's first 8144 bytes"),
    "the last place": (header1(), 8140, ""),
    "just behind it": (header1(), 8144, "first 8144 bytes"),
    "a number of that value": (header1(wrong=1), 0x4000, ""),
    "2: the checksum": (header2(wrong=1), 0x400, "Multiboot 2: what looks like"),
    "2: an alignment": (header2(), 0x404, "not aligned to 8 bytes"),
    "2: too far": (header2(), 0x9000, "has to begin in the file's first 32760 bytes"),
    "2: the last place": (header2(), 32752, ""),
    "2: just behind it": (header2(), 32760, "first 32760 bytes"),
    "2: MIPS": (header2(architecture=4), 0x400, "for architecture 4"),
    "2: a number of that value": (header2(wrong=1), 0x9000, ""),
    "nothing": (b"", 0x400, ""),
}


@pytest.mark.parametrize("name", CASES)
def test_reason(name: str) -> None:
    header, at, words = CASES[name]
    found = near_header(header.rjust(at + len(header), b"\x90").ljust(0xA000, b"\x90"))
    assert (words in found) if words else not found


def test_a_report_has_it() -> None:
    """Where the kernel is taken for another, and where it is refused; not where it is taken for
    what it is."""
    kernel = elf_file([LOAD])
    for data, count in (
        (kernel, 0),
        (kernel + header1(wrong=1), 1),
        (kernel + header1(), 0),
        (multiboot1(flags=HeaderFlag.VIDEO), 0),
    ):
        found = ways.report(data.ljust(0x1000, b"\0"), "k")
        assert found
        assert sum("what looks like its header" in note for note in found.notes) == count


def test_run_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:

    kernel = elf_file([LOAD]) + header1(wrong=1)
    by_firmware(Guest(kernel=tmp_path / "k"), kernel, [])
    said = capsys.readouterr().err.splitlines()
    assert said[1].startswith("fwbuild: note: Multiboot: what looks like its header")
