"""Reads the headers of an ELF file as QEMU's loader does: by its class, with no trust in a number.

A file that QEMU refuses gives ElfError, one beyond a limit of this reader LimitError. Section
headers, at which QEMU does not look, are left out where they make no sense.

Source: System V ABI, chapters 4 and 5; QEMU, include/hw/elf_ops.h load_elf() and
hw/core/loader.c load_elf_ram_sym().
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from construct import Struct

from fwbuild.abi import elf

HEADERS_MAX = 1 << 10  # of each kind; real kernels have some ten


class ElfError(Exception):
    """The reason why QEMU refuses the file; `qemu` is what QEMU says."""

    def __init__(self, what: str, qemu: str = "Error while loading elf kernel") -> None:
        super().__init__(what)
        self.qemu = qemu


class LimitError(ElfError):
    """The file is beyond a limit of fwbuild's own; QEMU may load it."""


@dataclass(frozen=True)
class Segment:
    """A program header, and the part of the file that it names."""

    type: int
    vaddr: int
    paddr: int
    memsz: int
    align: int
    content: memoryview

    @property
    def end(self) -> int:
        """The physical address after its last byte in memory."""
        return self.paddr + self.memsz


@dataclass(frozen=True)
class Section:
    """A section header, and the part of the file that it names."""

    type: int
    link: int
    content: memoryview


@dataclass(frozen=True)
class ElfFile:
    """The headers of an ELF file: `bits` 32 or 64, `machine` and `entry` as in e_machine and
    e_entry."""

    bits: int
    machine: int
    entry: int
    segments: list[Segment]
    sections: list[Section]

    def of(self, kind: int) -> list[Segment]:
        """The segments of a type."""
        return [s for s in self.segments if s.type == kind]


def read_elf(data: bytes) -> ElfFile:
    """The headers of a file. Raises ElfError."""
    if not data.startswith(elf.MAGIC):
        raise ElfError("it does not begin as one")
    wide = data[elf.IDENT_CLASS : elf.IDENT_CLASS + 1] == bytes([elf.CLASS_64])
    header, program, section = (
        (elf.EHDR64, elf.PHDR64, elf.SHDR64) if wide else (elf.EHDR, elf.PHDR, elf.SHDR)
    )
    if len(data) < header.sizeof():
        raise ElfError("its header is cut short")
    if data[elf.IDENT_DATA] != elf.DATA_LITTLE:
        raise ElfError("it is not little-endian")
    view = memoryview(data)
    head = header.parse(view[: header.sizeof()])  # of the whole file, construct makes a copy
    return ElfFile(
        bits=64 if wide else 32,
        machine=head.machine,
        entry=head.entry,
        segments=list(_segments(view, program, head)),
        sections=list(_sections(view, section, head)),
    )


def _segments(view: memoryview, program: Struct, head: Any) -> Iterator[Segment]:
    if head.phnum > HEADERS_MAX:
        raise LimitError(f"it has {head.phnum} program headers")
    if head.phoff + head.phnum * program.sizeof() > len(view):
        raise ElfError("its program headers pass the end of the file")
    for row in _rows(view, program, head.phoff, head.phnum):
        read = row.type in (elf.PT_LOAD, elf.PT_NOTE) and row.filesz
        if read and row.offset + row.filesz > len(view):
            raise ElfError("a segment passes the end of the file")
        content = view[row.offset : row.offset + row.filesz]
        yield Segment(row.type, row.vaddr, row.paddr, row.memsz, row.align, content)


def _sections(view: memoryview, section: Struct, head: Any) -> Iterator[Section]:
    if head.shnum > HEADERS_MAX or head.shoff + head.shnum * section.sizeof() > len(view):
        return
    for row in _rows(view, section, head.shoff, head.shnum):
        content = view[row.offset : row.offset + row.size]
        yield Section(row.type, row.link, content)


def _rows(view: memoryview, struct: Struct, at: int, count: int) -> Iterator[Any]:
    size = struct.sizeof()
    for start in range(at, at + count * size, size):
        yield struct.parse(view[start : start + size])
