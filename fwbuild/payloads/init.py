"""Builds the bench's initrd: a cpio archive with one file, a first user program of our own.

Source: System V ABI, chapters 4 and 5, and its AMD64 supplement; Linux,
Documentation/driver-api/early-userspace/buffer-format.rst (the newc format).
"""

from construct import Const, Int16ul, Int32ul, Int64ul, Struct

from fwbuild.abi.elf import ET_EXEC, EV_CURRENT, PT_LOAD
from fwbuild.assembler.link import Linker
from fwbuild.firmware import bench
from fwbuild.firmware.symbols import symbols as all_symbols
from fwbuild.image.place import one_after_the_other
from fwbuild.image.sources import read_sources
from fwbuild.sizes import padded

EHDR64 = Struct(
    "magic" / Const(b"\x7fELF\x02\x01\x01" + bytes(9)),  # 64-bit, little-endian, version 1
    "type" / Const(ET_EXEC, Int16ul),
    "machine" / Const(62, Int16ul),  # EM_X86_64
    "version" / Const(EV_CURRENT, Int32ul),
    "entry" / Int64ul,
    "phoff" / Const(64, Int64ul),
    "shoff" / Const(0, Int64ul),
    "flags" / Const(0, Int32ul),
    "ehsize" / Const(64, Int16ul),
    "phentsize" / Const(56, Int16ul),
    "phnum" / Const(1, Int16ul),
    "shentsize" / Const(0, Int16ul),
    "shnum" / Const(0, Int16ul),
    "shstrndx" / Const(0, Int16ul),
)
PHDR64 = Struct(
    "type" / Const(PT_LOAD, Int32ul),
    "flags" / Const(5, Int32ul),  # read, execute
    "offset" / Const(0, Int64ul),
    "vaddr" / Const(bench.BASE, Int64ul),
    "paddr" / Const(bench.BASE, Int64ul),
    "filesz" / Int64ul,
    "memsz" / Int64ul,
    "align" / Const(0x1000, Int64ul),
)
ENTRY = "bench_init"
REGULAR, DIRECTORY, CONSOLE = 0o100755, 0o040755, 0o020600
CONSOLE_DEVICE = (5, 1)  # major, minor of /dev/console


def build_init() -> bytes:
    """The program: a static ELF file of one segment, headers and all."""
    symbols = all_symbols()
    start = bench.BASE + EHDR64.sizeof() + PHDR64.sizeof()
    linked = Linker(symbols).link(
        read_sources("asm/bench", symbols), [ENTRY], one_after_the_other(start)
    )
    end = max(linked.addresses[f.name] + linked.size(f.name) for f in linked.fragments)
    size = end - bench.BASE
    header = EHDR64.build({"entry": linked.addresses[ENTRY]})
    program = PHDR64.build({"filesz": size, "memsz": size})
    return bytes(header + program) + linked.bytes_at(start, end - start)


CPIO_UNIT = 4  # name and data end at multiples of it


def cpio(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """One entry of a newc archive."""
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08X" % value for value in fields)
    named = header + name.encode("ascii") + b"\0"
    return padded(named, CPIO_UNIT) + padded(data, CPIO_UNIT)


def build_initrd() -> bytes:
    """The archive: /init, and the console that its complaint goes to."""
    return (
        cpio("dev", DIRECTORY)
        + cpio("dev/console", CONSOLE, device=CONSOLE_DEVICE)
        + cpio("init", REGULAR, build_init())
        + cpio("TRAILER!!!", 0)
    )
