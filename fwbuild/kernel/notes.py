"""Finds the PVH note of an ELF file, as its author wrote it and as QEMU reads it.

The two differ where the linker merged notes of different alignment into one segment, as
binutils does with .note.gnu.property: QEMU aligns every note of a segment to the segment's
p_align, their authors to 4 bytes.

Source: System V ABI, chapter 5 "Note Section"; QEMU, include/hw/elf_ops.h
get_elf_note_type and hw/i386/x86.c read_pvh_start_addr.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from fwbuild.abi import elf, pvh
from fwbuild.sizes import align_up

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
        at += align_up(header.namesz, align)
        yield Note(name, header.type, header.descsz, data[at : at + max(header.descsz, QEMU_READS)])
        at += align_up(header.descsz, align)


@dataclass(frozen=True)
class PvhNote:
    """A note of the PVH note's type: its 32-bit entry, and its name, at which QEMU does not
    look."""

    entry: int
    name: bytes


def written_note(file: ELFFile) -> PvhNote | None:
    """The PVH note that QEMU comes to, as it is written; None without one."""
    notes = [_first(s.data(), elf.NOTE_ALIGN) for s in file.iter_segments("PT_NOTE")]
    notes = [n for n in notes if n] or [
        _first(s.data(), elf.NOTE_ALIGN) for s in file.iter_sections("SHT_NOTE")
    ]
    found = [n for n in notes if n]
    if not found:
        return None
    if found[-1].descsz not in pvh.ELF_NOTE_SIZES:
        raise ELFError(f"a PVH note of {found[-1].descsz} bytes")
    entry = int.from_bytes(found[-1].rest[: found[-1].descsz], "little")
    return PvhNote(entry & 0xFFFFFFFF, found[-1].name)


def qemu_entry(file: ELFFile) -> int | None:
    """The entry that QEMU takes: of the last segment with a note of the type, whatever its
    name. None where it finds none and refuses the file."""
    found = 0
    for segment in file.iter_segments("PT_NOTE"):
        if note := _first(segment.data(), max(segment["p_align"], 1)):
            found = int.from_bytes(note.rest[:QEMU_READS], "little")
    return found & 0xFFFFFFFF if found else None


def _first(data: bytes, align: int) -> Note | None:
    """The first note of the PVH note's type in a segment or section."""
    return next((n for n in walk(data, align) if n.type == pvh.ELF_NOTE_PHYS32_ENTRY), None)
