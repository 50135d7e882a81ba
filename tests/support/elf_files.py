"""ELF files with any headers at all, right or wrong."""

from dataclasses import dataclass

from fwbuild.abi import elf
from fwbuild.image.elf import pvh_note

BASE = 0x100000
NOTE = pvh_note(BASE)


@dataclass(frozen=True)
class Row:
    """A program header; `at` is an offset in the data behind the headers."""

    type: int
    at: int = 0
    filesz: int = len(NOTE)
    memsz: int = len(NOTE)
    address: int = BASE
    align: int = 4

    @property
    def fields(self) -> dict[str, int]:
        """The fields but the offset."""
        return dict(
            type=self.type,
            vaddr=self.address,
            paddr=self.address,
            filesz=self.filesz,
            memsz=self.memsz,
            flags=7,
            align=self.align,
        )


LOAD, NOTES = Row(elf.PT_LOAD), Row(elf.PT_NOTE)


def elf_file(
    rows: list[Row], data: bytes = NOTE, *, bits: int = 64, sections: bytes = b"", **header: int
) -> bytes:
    """A file of these program headers, `data` behind them, and section headers at its end;
    `header` has fields of the file header that are not as they should be."""
    wide = bits == 64
    head, program = (elf.EHDR64, elf.PHDR64) if wide else (elf.EHDR, elf.PHDR)
    section = elf.SHDR64 if wide else elf.SHDR
    start = head.sizeof() + len(rows) * program.sizeof()
    fields = dict(
        type=elf.ET_EXEC,
        machine=elf.EM_X86_64 if wide else elf.EM_386,
        version=elf.EV_CURRENT,
        entry=BASE,
        phoff=head.sizeof(),
        shoff=start + len(data) if sections else 0,
        flags=0,
        ehsize=head.sizeof(),
        phentsize=program.sizeof(),
        phnum=len(rows),
        shentsize=section.sizeof(),
        shnum=len(sections) // section.sizeof(),
        shstrndx=0,
    )
    built = [program.build({**row.fields, "offset": start + row.at}) for row in rows]
    return bytes(head.build(fields | header) + b"".join(built) + data + sections)


def section(kind: int, **fields: int) -> bytes:
    """A 64-bit section header."""
    empty = dict.fromkeys((f.name for f in elf.SHDR64.subcons), 0)
    return bytes(elf.SHDR64.build(empty | {"type": kind} | fields))
