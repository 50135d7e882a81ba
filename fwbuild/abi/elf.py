"""ELF files for x86, of both classes.

Source: System V ABI, chapters 4 and 5, and its i386 and x86-64 supplements.
"""

from construct import Bytes, Construct, Default, Int8ul, Int16ul, Int32ul, Int64ul, Struct

MAGIC = b"\x7fELF"
MAGIC_DWORD = int.from_bytes(MAGIC, "little")
# Class, byte order and version, as a number in the upper part of the first 8 bytes.
IDENT_CLASS = len(MAGIC)
IDENT_MASK = 0xFFFFFF
IDENT_32, IDENT_64 = 0x010101, 0x010102
IDENT_DATA = IDENT_CLASS + 1
CLASS_64, DATA_LITTLE = 2, 1


def _file_header(ident: int, address: Construct) -> Struct:
    """The file header of a class, whose addresses and offsets are `address`."""
    return Struct(
        "ident" / Default(Bytes(16), MAGIC + ident.to_bytes(3, "little") + bytes(9)),
        "type" / Int16ul,
        "machine" / Int16ul,
        "version" / Int32ul,
        "entry" / address,
        "phoff" / address,
        "shoff" / address,
        "flags" / Int32ul,
        "ehsize" / Int16ul,
        "phentsize" / Int16ul,
        "phnum" / Int16ul,
        "shentsize" / Int16ul,
        "shnum" / Int16ul,
        "shstrndx" / Int16ul,
    )


EHDR = _file_header(IDENT_32, Int32ul)
EHDR64 = _file_header(IDENT_64, Int64ul)
PHDR = Struct(
    "type" / Int32ul, "offset" / Int32ul, "vaddr" / Int32ul, "paddr" / Int32ul,
    "filesz" / Int32ul, "memsz" / Int32ul, "flags" / Int32ul, "align" / Int32ul,
)  # fmt: skip
PHDR64 = Struct(
    "type" / Int32ul, "flags" / Int32ul, "offset" / Int64ul, "vaddr" / Int64ul,
    "paddr" / Int64ul, "filesz" / Int64ul, "memsz" / Int64ul, "align" / Int64ul,
)  # fmt: skip
SHDR = Struct(
    "name" / Int32ul, "type" / Int32ul, "flags" / Int32ul, "addr" / Int32ul, "offset" / Int32ul,
    "size" / Int32ul, "link" / Int32ul, "info" / Int32ul, "align" / Int32ul, "entsize" / Int32ul,
)  # fmt: skip
SHDR64 = Struct(
    "name" / Int32ul, "type" / Int32ul, "flags" / Int64ul, "addr" / Int64ul, "offset" / Int64ul,
    "size" / Int64ul, "link" / Int32ul, "info" / Int32ul, "align" / Int64ul, "entsize" / Int64ul,
)  # fmt: skip
SYM = Struct(
    "name" / Int32ul, "value" / Int32ul, "size" / Int32ul,
    "info" / Int8ul, "other" / Int8ul, "shndx" / Int16ul,
)  # fmt: skip
SYM64 = Struct(
    "name" / Int32ul, "info" / Int8ul, "other" / Int8ul, "shndx" / Int16ul,
    "value" / Int64ul, "size" / Int64ul,
)  # fmt: skip
NHDR = Struct("namesz" / Int32ul, "descsz" / Int32ul, "type" / Int32ul)
NOTE_ALIGN = 4  # of a note, its name and its descriptor

ET_EXEC, EM_386, EM_X86_64, EV_CURRENT = 2, 3, 62, 1
PT_LOAD, PT_NOTE = 1, 4
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_NOTE = 1, 2, 3, 7
SHF_ALLOC, SHF_EXECINSTR = 2, 4
SHN_ABS = 0xFFF1
STB_GLOBAL = 1 << 4
SYMBOL_TYPES = {"notype": 0, "object": 1, "func": 2}
