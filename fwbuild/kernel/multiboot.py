"""Reads a Multiboot kernel: where it is loaded and entered.

Source: Multiboot Specification 0.6.96, 3.1; QEMU, hw/i386/multiboot.c, whose choices
are kept where the two differ.
"""

from dataclasses import dataclass
from typing import Any

from fwbuild.abi import e820, elf, multiboot
from fwbuild.abi.multiboot import HeaderFlag
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.kernel.elf_file import ElfError, LimitError, read_elf
from fwbuild.kernel.file_elf import read_file_elf
from fwbuild.kernel.placed import Placed
from fwbuild.kernel.vmlinux import RELINK, beyond_limit, load


@dataclass(frozen=True, kw_only=True)
class MultibootKernel:
    """A kernel's entry, its load address, its size in memory, bss included, and what lies at
    which offset in there."""

    entry: int
    address: int
    size: int
    parts: list[tuple[int, memoryview]]

    @property
    def content(self) -> bytearray:
        """Its bytes from the load address on."""
        found = bytearray(self.size)
        for at, data in self.parts:
            found[at : at + len(data)] = data
        return found


def find_header(data: bytes) -> tuple[int, Any] | None:
    """(offset in the file, header) of a Multiboot kernel."""
    end = multiboot.HEADER_SEARCH - multiboot.HEADER.sizeof()
    padded = data[: multiboot.HEADER_SEARCH].ljust(multiboot.HEADER_SEARCH, b"\0")
    magic = multiboot.HEADER_MAGIC.to_bytes(4, "little")
    for at in range(0, end, 4):
        if padded[at : at + 4] == magic:
            header = multiboot.HEADER.parse(padded[at:])
            if (header.magic + header.flags + header.checksum) % (1 << 32) == 0:
                return at, header
    return None


def parse_multiboot(data: bytes, where: str) -> MultibootKernel:
    """The kernel in a file that find_header() knows; errors name `where`."""
    found = find_header(data)
    assert found
    at, header = found
    try:
        if header.flags & HeaderFlag.ADDRESSES:
            return _by_header(data, at, header)
        return _by_elf(data)
    except LimitError as error:
        raise beyond_limit(error, where) from None
    except (ElfError, ValueError) as error:
        what = f"a Multiboot kernel that QEMU refuses: {error}"
        raise FwbuildError(ExitCode.KERNEL, what, where=where, hint=_hint(data, header)) from None


def _by_header(data: bytes, at: int, header: Any) -> MultibootKernel:
    address, content, size = by_addresses(data, at, header)
    return MultibootKernel(
        entry=header.entry_addr, address=address, size=size, parts=[(0, content)]
    )


def by_addresses(data: bytes, at: int, header: Any) -> tuple[int, memoryview, int]:
    """(address, bytes from the file, bytes in memory) of a kernel whose header at an offset tells
    where it is loaded. Raises ValueError."""
    start = at - (header.header_addr - header.load_addr)
    if header.header_addr < header.load_addr or start < 0:
        raise ValueError("invalid load_addr")
    end = header.load_end_addr - header.load_addr + start if header.load_end_addr else len(data)
    content = memoryview(data)[start:end]
    if end < start or len(content) < end - start:
        raise ValueError("invalid load_end_addr")
    size = header.bss_end_addr - header.load_addr if header.bss_end_addr else len(content)
    if size < len(content):
        raise ValueError("invalid bss_end_addr")
    return header.load_addr, content, size


def parse_file(data: bytes, where: str) -> tuple[int, list[Placed]] | None:
    """(entry, segments) of a kernel that the firmware loads itself: an ELF file of either class, or
    one by the header's addresses. None without a header; errors name `where`. Raises FwbuildError
    for a file that the firmware refuses."""
    found = find_header(data)
    if not found:
        return None
    at, header = found
    known = HeaderFlag.ALIGN_MODULES | HeaderFlag.MEMORY_INFO
    if header.flags & multiboot.HEADER_REQUIRED & ~known:
        what = f"its Multiboot header wants what the firmware lacks: flags {header.flags:#x}"
        hint = "it is for a boot loader: GRUB"
        raise FwbuildError(ExitCode.KERNEL, what, where=where, hint=hint)
    try:
        if header.flags & HeaderFlag.ADDRESSES:
            kernel = _by_header(data, at, header)
            return kernel.entry, [Placed(kernel.address, kernel.parts[0][1], kernel.size)]
        file = read_file_elf(data)
        return file.physical_entry(), file.placed
    except (ElfError, ValueError) as error:
        what = f"a Multiboot kernel that cannot be loaded: {error}"
        raise FwbuildError(ExitCode.KERNEL, what, where=where, hint=RELINK) from None


def _by_elf(data: bytes) -> MultibootKernel:
    file = read_elf(data)
    if file.machine != elf.EM_386:
        raise ElfError("no 32-bit ELF file")
    memory = load(file)
    entry = file.entry
    for s in file.of(elf.PT_LOAD):
        if s.vaddr <= file.entry < s.vaddr + len(s.content):
            entry = (file.entry - s.vaddr + s.paddr) % e820.FOUR_GIB
    parts = [(p.address - memory.low, p.content) for p in memory.placed]
    size = memory.high - memory.low
    return MultibootKernel(entry=entry, address=memory.low, size=size, parts=parts)


def _hint(data: bytes, header: Any) -> str:
    """The way out for a kernel that QEMU refuses."""
    if data.startswith(elf.MAGIC) and not header.flags & HeaderFlag.ADDRESSES:
        return "a 64-bit one becomes loadable by objcopy -O elf32-i386"
    return "copy the file again, or relink it"
