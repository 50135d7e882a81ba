"""Writes small 32-bit x86 ELF files: the image's symbols for gdb and nm, and the test kernel.

Source: System V ABI, chapters 4 and 5, and its i386 supplement.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fwbuild.abi import pvh
from fwbuild.abi.elf import (
    EHDR,
    EM_386,
    ET_EXEC,
    EV_CURRENT,
    NHDR,
    PHDR,
    PT_LOAD,
    PT_NOTE,
    SHDR,
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHN_ABS,
    SHT_NOTE,
    SHT_PROGBITS,
    SHT_STRTAB,
    SHT_SYMTAB,
    STB_GLOBAL,
    SYM,
    SYMBOL_TYPES,
)
from fwbuild.assembler.link import Linked


@dataclass(frozen=True)
class Segment:
    """Bytes at a physical address; `memsz` bytes of memory, `flags` as p_flags (4 read,
    2 write, 1 execute)."""

    paddr: int
    data: bytes
    memsz: int
    flags: int


@dataclass(frozen=True)
class Symbol:
    """A name for an address; `kind` is a key of SYMBOL_TYPES, or "absolute"."""

    name: str
    value: int
    size: int
    kind: str


def symbols_of(linked: Linked) -> list[Symbol]:
    """A symbol for each fragment of a program."""
    kinds = {"data": "object", "routine": "func"}
    return [
        Symbol(f.name, linked.addresses[f.name], linked.size(f.name), kinds[f.contract.kind])
        for f in linked.fragments
    ]


def pvh_note(entry: int, width: int = 4) -> bytes:
    """The PVH note with a descriptor of 4 or 8 bytes."""
    name = pvh.ELF_NOTE_NAME + b"\0"
    header = NHDR.build({"namesz": len(name), "descsz": width, "type": pvh.ELF_NOTE_PHYS32_ENTRY})
    return bytes(header) + name + entry.to_bytes(width, "little")


def _strings(names: list[str]) -> tuple[bytes, list[int]]:
    """A string table and the offset of each name in it."""
    table, offsets = b"\0", []
    for name in names:
        offsets.append(len(table))
        table += name.encode("ascii") + b"\0"
    return table, offsets


def write_elf(
    segments: list[Segment],
    symbols: list[Symbol],
    entry: int,
    note: bytes = b"",
    debug: Mapping[str, bytes] | None = None,
) -> bytes:
    """An executable: each segment is a section (.text, .text1, ...), `note` a PT_NOTE; `debug`
    are sections by name that no memory has."""
    debug = debug or {}
    parts = [(f".text{i or ''}", s.data, s) for i, s in enumerate(segments)]
    names = [name for name, _, _ in parts] + [".note"] * bool(note)
    names += [*debug, ".symtab", ".strtab", ".shstrtab"]
    shstrtab, name_at = _strings(names)
    strtab, symbol_at = _strings([s.name for s in symbols])
    symtab = SYM.build(dict(name=0, value=0, size=0, info=0, other=0, shndx=0)) + b"".join(
        _symbol(symbol, at, segments) for symbol, at in zip(symbols, symbol_at, strict=True)
    )
    phnum = len(segments) + bool(note)
    body, start = b"", EHDR.sizeof() + phnum * PHDR.sizeof()
    program, sections = b"", SHDR.build(dict.fromkeys((c.name for c in SHDR.subcons), 0))

    def put(data: bytes) -> int:
        nonlocal body
        body += bytes(-(start + len(body)) % 16)
        at = int(start + len(body))
        body += data
        return at

    for i, (_, data, segment) in enumerate(parts):
        at = put(data)
        program += PHDR.build(
            dict(
                type=PT_LOAD,
                offset=at,
                vaddr=segment.paddr,
                paddr=segment.paddr,
                filesz=len(data),
                memsz=segment.memsz,
                flags=segment.flags,
                align=1,
            )
        )
        sections += _section(
            name_at[i], SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, segment.paddr, at, len(data)
        )
    if note:
        at = put(note)
        program += PHDR.build(
            dict(
                type=PT_NOTE,
                offset=at,
                vaddr=0,
                paddr=0,
                filesz=len(note),
                memsz=len(note),
                flags=4,
                align=4,
            )
        )
        sections += _section(name_at[len(parts)], SHT_NOTE, 0, 0, at, len(note))
    for name, data in debug.items():
        at = put(data)
        sections += _section(name_at[names.index(name)], SHT_PROGBITS, 0, 0, at, len(data))
    strtab_index = phnum + len(debug) + 2
    sections += _section(
        name_at[-3],
        SHT_SYMTAB,
        0,
        0,
        put(symtab),
        len(symtab),
        link=strtab_index,
        info=1,
        entsize=SYM.sizeof(),
    )
    sections += _section(name_at[-2], SHT_STRTAB, 0, 0, put(strtab), len(strtab))
    sections += _section(name_at[-1], SHT_STRTAB, 0, 0, put(shstrtab), len(shstrtab))
    shoff = put(sections)
    header = EHDR.build(
        dict(
            type=ET_EXEC,
            machine=EM_386,
            version=EV_CURRENT,
            entry=entry,
            phoff=EHDR.sizeof(),
            shoff=shoff,
            flags=0,
            ehsize=EHDR.sizeof(),
            phentsize=PHDR.sizeof(),
            phnum=phnum,
            shentsize=SHDR.sizeof(),
            shnum=len(sections) // SHDR.sizeof(),
            shstrndx=strtab_index + 1,
        )
    )
    return bytes(header + program + body)


def _section(
    name: int, kind: int, flags: int, addr: int, offset: int, size: int, **more: Any
) -> bytes:
    fields = dict(
        name=name,
        type=kind,
        flags=flags,
        addr=addr,
        offset=offset,
        size=size,
        link=0,
        info=0,
        align=1,
        entsize=0,
    )
    return bytes(SHDR.build(fields | more))


def _symbol(symbol: Symbol, name: int, segments: list[Segment]) -> bytes:
    inside = [i + 1 for i, s in enumerate(segments) if s.paddr <= symbol.value < s.paddr + s.memsz]
    shndx = inside[0] if inside and symbol.kind != "absolute" else SHN_ABS
    return bytes(
        SYM.build(
            dict(
                name=name,
                value=symbol.value,
                size=symbol.size,
                other=0,
                shndx=shndx,
                info=STB_GLOBAL | SYMBOL_TYPES.get(symbol.kind, 0),
            )
        )
    )
