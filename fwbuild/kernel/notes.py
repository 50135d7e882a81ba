"""Finds the PVH note of an ELF file, as its author wrote it and as QEMU reads it.

The two differ where the linker merged notes of different alignment into one segment, as
binutils does with .note.gnu.property: QEMU aligns every note of a segment to the segment's
p_align, their authors to 4 bytes.

Source: System V ABI, chapter 5 "Note Section"; QEMU, include/hw/elf_ops.h
get_elf_note_type and hw/i386/x86.c read_pvh_start_addr.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from fwbuild.abi import elf, pvh
from fwbuild.kernel.elf_file import ElfError, ElfFile
from fwbuild.sizes import align_up

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
    at = 0
    while at + elf.NHDR.sizeof() <= len(data):
        header = elf.NHDR.parse(data[at : at + elf.NHDR.sizeof()])
        at += elf.NHDR.sizeof()
        name = data[at : at + header.namesz].rstrip(b"\0")
        at += align_up(header.namesz, align)
        yield Note(name, header.type, header.descsz, data[at : at + max(header.descsz, QEMU_READS)])
        at += align_up(header.descsz, align)


@dataclass(frozen=True)
class PvhNote:
    """A note of the PVH note's type: its 32-bit entry; its name, at which QEMU does not look; and
    whether a segment has it, for QEMU looks at no section."""

    entry: int
    name: bytes
    in_segment: bool


class Relocation(NamedTuple):
    """What limits where a kernel may be moved to: its start's alignment, the lowest address of its
    start, and the highest of its last byte."""

    alignment: int
    lowest: int
    highest: int


def written_note(file: ElfFile) -> PvhNote | None:
    """The PVH note that QEMU comes to, as it is written, else the last one in a section; None
    without one."""
    sections = [s.content for s in file.sections if s.type == elf.SHT_NOTE]
    segments = [s.content for s in file.of(elf.PT_NOTE)]
    for areas in (segments, sections):
        if found := [n for n in (_first(area, elf.NOTE_ALIGN) for area in areas) if n]:
            return _pvh_note(found[-1], areas is segments)
    return None


def _pvh_note(note: Note, in_segment: bool) -> PvhNote:
    # QEMU keeps the lower 4 bytes of a descriptor, however many it has
    if note.descsz < min(pvh.ELF_NOTE_SIZES):
        raise ElfError(f"a PVH note of {note.descsz} bytes")
    entry = int.from_bytes(note.rest[: min(note.descsz, QEMU_READS)], "little")
    return PvhNote(entry & 0xFFFFFFFF, note.name, in_segment)


def ends_qemu(file: ElfFile) -> bool:
    """Whether QEMU divides by zero: it rounds a note's parts up to its segment's alignment, and the
    System V ABI takes 0 for none, as 1."""
    return any(
        not segment.align and len(segment.content) >= elf.NHDR.sizeof()
        for segment in file.of(elf.PT_NOTE)
    )


def qemu_entry(file: ElfFile) -> int | None:
    """The entry that QEMU takes: of the last segment with a note of the type, whatever its
    name. None where it finds none and refuses the file, and where the notes end it."""
    found = 0
    if ends_qemu(file):
        return None
    for segment in file.of(elf.PT_NOTE):
        if note := _first(segment.content, max(segment.align, 1)):
            found = int.from_bytes(note.rest[:QEMU_READS], "little")
    return found & 0xFFFFFFFF if found else None


def relocation(file: ElfFile) -> Relocation | None:
    """Where Xen may move the kernel to, None for one that cannot be moved. What the note leaves
    out has its default. Source: Xen, xen/include/public/elfnote.h, XEN_ELFNOTE_PHYS32_RELOC."""
    areas = [s.content for s in file.of(elf.PT_NOTE)]
    areas += [s.content for s in file.sections if s.type == elf.SHT_NOTE]
    for area in areas:
        if note := _first(area, elf.NOTE_ALIGN, pvh.ELF_NOTE_PHYS32_RELOC):
            words = [note.rest[at : at + 4] for at in range(0, min(note.descsz, 12) & ~3, 4)]
            given = [int.from_bytes(word, "little") for word in words]
            return Relocation(*given, *pvh.RELOC_DEFAULTS[len(given) :])
    return None


def _first(area: memoryview, align: int, kind: int = pvh.ELF_NOTE_PHYS32_ENTRY) -> Note | None:
    """The first note of a type in a segment or section."""
    return next((n for n in walk(bytes(area), align) if n.type == kind), None)
