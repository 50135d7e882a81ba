"""Finds the PVH note of an ELF file, as its author wrote it and as QEMU reads it.

The two differ where the linker merged notes of different alignment into one segment, as
binutils does with .note.gnu.property: QEMU aligns every note of a segment to the segment's
p_align, their authors to 4 bytes.

Source: System V ABI, chapter 5 "Note Section"; QEMU 7.2, include/hw/elf_ops.h
get_elf_note_type and hw/i386/x86.c read_pvh_start_addr.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from fwbuild.abi import elf, pvh

AREA_MAX = 1 << 20  # of a segment or section; real ones take some hundred bytes
QEMU_READS = 8  # bytes of the descriptor, whatever its size, of which it keeps the lower 4


@dataclass(frozen=True)
class Note:
    """One ELF note; `rest` is its descriptor of `descsz` bytes, and what QEMU reads with it."""

    name: bytes
    type: int
    descsz: int
    rest: bytes


def walk(data: bytes, align: int) -> Iterator[Note]:
    """The notes of a segment or section, each part aligned to `align`."""
    at, data = 0, data[:AREA_MAX]
    while at + elf.NHDR.sizeof() <= len(data):
        header = elf.NHDR.parse(data[at : at + elf.NHDR.sizeof()])
        at += elf.NHDR.sizeof()
        name = data[at : at + header.namesz].rstrip(b"\0")
        at += -(-header.namesz // align) * align
        yield Note(name, header.type, header.descsz, data[at : at + max(header.descsz, QEMU_READS)])
        at += -(-header.descsz // align) * align


def written_entry(file: ELFFile) -> int | None:
    """The entry in the PVH note as it is written; None without one."""
    parts = [*file.iter_segments("PT_NOTE"), *file.iter_sections("SHT_NOTE")]
    for part in parts:
        for note in walk(part.data(), elf.NOTE_ALIGN):
            if (note.name, note.type) == (pvh.ELF_NOTE_NAME, pvh.ELF_NOTE_PHYS32_ENTRY):
                if note.descsz not in pvh.ELF_NOTE_SIZES:
                    raise ELFError(f"a PVH note of {note.descsz} bytes")
                return int.from_bytes(note.rest[: note.descsz], "little") & 0xFFFFFFFF
    return None


def qemu_entry(file: ELFFile) -> int | None:
    """The entry that QEMU takes: of the last segment with a note of the type, whatever its
    name. None where it finds none and refuses the file."""
    found = 0
    for segment in file.iter_segments("PT_NOTE"):
        for note in walk(segment.data(), max(segment["p_align"], 1)):
            if note.type == pvh.ELF_NOTE_PHYS32_ENTRY:
                found = int.from_bytes(note.rest[:QEMU_READS], "little")
                break
    return found & 0xFFFFFFFF if found else None
