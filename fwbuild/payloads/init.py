"""Builds the bench's initrd: a cpio archive with one file, a first user program of our own.

Source: System V ABI, chapters 4 and 5, and its AMD64 supplement; Linux,
Documentation/driver-api/early-userspace/buffer-format.rst (the newc format).
"""

from fwbuild.abi.elf import EHDR64, EM_X86_64, ET_EXEC, EV_CURRENT, PHDR64, PT_LOAD
from fwbuild.abi.x86 import PAGE
from fwbuild.assembler.link import Linker
from fwbuild.firmware import bench
from fwbuild.firmware.symbols import symbols as all_symbols
from fwbuild.image.place import one_after_the_other
from fwbuild.image.sources import read_sources
from fwbuild.sizes import padded

READ_EXECUTE = 5  # of PHDR64.flags
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
    header = EHDR64.build(
        dict(
            type=ET_EXEC,
            machine=EM_X86_64,
            version=EV_CURRENT,
            entry=linked.addresses[ENTRY],
            phoff=EHDR64.sizeof(),
            shoff=0,
            flags=0,
            ehsize=EHDR64.sizeof(),
            phentsize=PHDR64.sizeof(),
            phnum=1,
            shentsize=0,
            shnum=0,
            shstrndx=0,
        )
    )
    program = PHDR64.build(
        dict(
            type=PT_LOAD,
            flags=READ_EXECUTE,
            offset=0,
            vaddr=bench.BASE,
            paddr=bench.BASE,
            filesz=size,
            memsz=size,
            align=PAGE,
        )
    )
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
