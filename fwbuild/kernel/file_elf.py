"""Reads an ELF file as the firmware's own loader does: with the same limits, and with what lies in
one place by the same order. QEMU's loader is another (elf_file.py).

Source: asm/load/elf.s and file.s; System V ABI, chapters 4 and 5.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fwbuild.abi import e820, elf, pvh
from fwbuild.firmware import layout, work
from fwbuild.kernel.elf_file import ElfError
from fwbuild.kernel.placed import Placed
from fwbuild.kernel.vmlinux import MACHINES, OTHERS
from fwbuild.sizes import align_up

HEAD, NOTES = layout.region("head").size, layout.region("notes").size
# where the program headers may begin: there is room for all that there can be
TABLE_MAX = HEAD - work.SEGMENTS_MAX * elf.PHDR64.sizeof()
FORMS = {
    elf.IDENT_32: (elf.EHDR, elf.PHDR),
    elf.IDENT_64: (elf.EHDR64, elf.PHDR64),
}


@dataclass(frozen=True)
class FileElf:
    """An ELF file as the firmware sees it. `wide` is whether it is a 64-bit one; `entry` is that of
    its header, a virtual address for some protocols; `segments` are the program headers of what is
    loaded, with memory of their own, and `notes` those of notes."""

    wide: bool
    entry: int
    segments: list[Any]
    notes: list[Any]
    data: memoryview

    @property
    def placed(self) -> list[Placed]:
        """What lies where once it is loaded: all zeros go first, then the bytes in order."""
        taken: list[tuple[int, int]] = []
        found: list[Placed] = []
        for s in reversed(self.segments):
            content, end = self.data[s.offset : s.offset + s.filesz], s.paddr + s.filesz
            others = [(o.paddr, o.paddr + o.memsz) for o in self.segments if o is not s]
            if list(_free(s.paddr, s.paddr + s.memsz, others)) == [(s.paddr, s.paddr + s.memsz)]:
                found.append(Placed(s.paddr, content, s.memsz))
                end = s.paddr + s.memsz
            else:
                for low, high in _free(s.paddr, end, taken):
                    part = content[low - s.paddr : high - s.paddr]
                    found.append(Placed(low, part, high - low))
            taken.append((s.paddr, end))
        for s in self.segments:
            for low, high in list(_free(s.paddr, s.paddr + s.memsz, taken)):
                found.append(Placed(low, self.data[:0], high - low))
                taken.append((low, high))
        return sorted(found, key=lambda p: p.address)

    def pvh_entry(self) -> int | None:
        """The entry in its first PVH note, None without one. Raises ElfError for notes that lie in
        no file."""
        for row in self.notes:
            notes = bytes(_content(self.data, row, "a segment of notes")[:NOTES])
            if (entry := _pvh_entry(notes)) is not None:
                return entry
        return None

    def physical_entry(self) -> int:
        """The physical address of the header's entry, a virtual one. Raises ElfError if no segment
        has it.
        Source: GRUB, grub-core/loader/multiboot_elfxx.c."""
        for s in self.segments:
            if s.vaddr <= self.entry < s.vaddr + s.memsz:
                return int(self.entry - s.vaddr + s.paddr)
        raise ElfError(f"no segment has its entry {self.entry:#x}")


def read_file_elf(data: bytes) -> FileElf:
    """The file that the firmware is to load. Raises ElfError for one that it refuses."""
    head = data[:HEAD].ljust(HEAD, b"\0")
    if not head.startswith(elf.MAGIC):
        raise ElfError("it does not begin as one")
    machine = elf.EHDR.parse(head).machine
    if machine not in MACHINES:
        raise ElfError(f"it is for {OTHERS.get(machine, f'machine {machine}')}")
    ident = int.from_bytes(head[elf.IDENT_CLASS :][:3], "little")
    if ident not in FORMS:
        raise ElfError(f"its class, byte order and version are {ident:06x}")
    file, program = FORMS[ident]
    header = file.parse(head)
    rows = list(_rows(head, header, program))
    segments = [row for row in rows if row.type == elf.PT_LOAD and row.memsz]
    for row in segments:
        _content(memoryview(data), row, "a segment")
        if row.filesz > row.memsz or row.paddr + row.memsz >= e820.FOUR_GIB:
            raise ElfError(f"a segment of {row.memsz:#x} bytes at {row.paddr:#x}")
    if not segments:
        raise ElfError("nothing to load")
    notes = [row for row in rows if row.type == elf.PT_NOTE]
    return FileElf(ident == elf.IDENT_64, header.entry, segments, notes, memoryview(data))


def _rows(head: bytes, header: Any, program: Any) -> Iterator[Any]:
    """The program headers, all of which have to lie in the file's head."""
    if not 0 < header.phnum <= work.SEGMENTS_MAX:
        raise ElfError(f"it has {header.phnum} program headers, not 1 to {work.SEGMENTS_MAX}")
    if header.phoff > TABLE_MAX:
        raise ElfError(f"its program headers begin at {header.phoff:#x}, not in {TABLE_MAX:#x}")
    size = program.sizeof()
    if header.phentsize != size:
        raise ElfError(f"its program headers have {header.phentsize} bytes, not {size}")
    for at in range(header.phoff, header.phoff + header.phnum * size, size):
        yield program.parse(head[at : at + size])


def _content(data: memoryview, row: Any, what: str) -> memoryview:
    end = row.offset + row.filesz
    if end > len(data):
        raise ElfError(f"{what} passes the end of the file")
    return data[row.offset : end]


def _pvh_entry(notes: bytes) -> int | None:
    """The entry that the first PVH note of a segment names."""
    at, size = 0, len(notes)
    while at + elf.NHDR.sizeof() <= size:
        note = elf.NHDR.parse(notes[at:])
        at += elf.NHDR.sizeof()
        descriptor = at + align_up(note.namesz, elf.NOTE_ALIGN)
        # the padding of the last part may be missing
        if at + note.namesz > size or min(descriptor, size) + note.descsz > size:
            return None
        if note.type == pvh.ELF_NOTE_PHYS32_ENTRY:
            wide_enough = note.descsz >= 4
            return int.from_bytes(notes[descriptor:][:4], "little") if wide_enough else None
        at = descriptor + align_up(note.descsz, elf.NOTE_ALIGN)
    return None


def _free(start: int, end: int, taken: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The parts of a range that no other has."""
    for low, high in sorted(taken):
        if low < end and start < high:
            if start < low:
                yield start, low
            start = max(start, high)
    if start < end:
        yield start, end
