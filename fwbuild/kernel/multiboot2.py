"""Reads a Multiboot 2 kernel: its header's tags, its segments and its entry.

Source: Multiboot2 Specification 2.0, 3.1; GRUB, grub-core/loader/multiboot_mbi2.c, for what the
specification leaves open.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fwbuild.abi import multiboot2 as abi
from fwbuild.abi.multiboot2 import HeaderTag, InfoTag
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.kernel.elf_file import ElfError
from fwbuild.kernel.file_elf import read_file_elf
from fwbuild.kernel.multiboot import by_addresses
from fwbuild.kernel.placed import Placed
from fwbuild.sizes import align_up

IGNORED = (
    HeaderTag.FRAMEBUFFER,  # a recommendation
    HeaderTag.MODULE_ALIGN,
    HeaderTag.EFI_BOOT_SERVICES,
    HeaderTag.ENTRY_EFI32,
    HeaderTag.ENTRY_EFI64,
)
STRUCTS = {
    HeaderTag.ADDRESSES: abi.ADDRESSES,
    HeaderTag.ENTRY: abi.ENTRY,
    HeaderTag.CONSOLE: abi.CONSOLE,
    HeaderTag.RELOCATABLE: abi.RELOCATABLE,
}


@dataclass(frozen=True, kw_only=True)
class Multiboot2Kernel:
    """A kernel where it is linked: its entry, its segments, and `relocatable`, the header's tag
    that lets it be moved, or None."""

    entry: int
    placed: list[Placed]
    relocatable: Any

    @property
    def start(self) -> int:
        """Its lowest address."""
        return min(p.address for p in self.placed)

    @property
    def size(self) -> int:
        """Bytes from its lowest address to its highest."""
        return max(p.end for p in self.placed) - self.start

    def moved(self, base: int) -> "Multiboot2Kernel":
        """The same at another base."""
        far = base - self.start
        placed = [Placed(p.address + far, p.content, p.size) for p in self.placed]
        return Multiboot2Kernel(entry=self.entry + far, placed=placed, relocatable=self.relocatable)


def find_header2(data: bytes) -> int | None:
    """The offset in the file of a Multiboot 2 header for x86."""
    area = data[: abi.HEADER_SEARCH]
    magic = abi.HEADER_MAGIC.to_bytes(4, "little")
    for at in range(0, len(area) - abi.HEADER.sizeof() + 1, abi.HEADER_ALIGN):
        if area[at : at + 4] == magic:
            header = abi.HEADER.parse(area[at:])
            total = header.magic + header.header_length + header.checksum
            if header.architecture == abi.ARCHITECTURE_I386 and total % (1 << 32) == 0:
                return at
    return None


def parse_multiboot2(data: bytes, where: str) -> Multiboot2Kernel | None:
    """The kernel in a file, None without a header; errors name `where`. Raises FwbuildError for a
    file that the firmware refuses."""
    at = find_header2(data)
    if at is None:
        return None
    try:
        found = dict(_tags(data, at))
        # a tag without an address is none: the entry is that of ELF
        entry = HeaderTag.ENTRY in found and found[HeaderTag.ENTRY].entry_addr
        if addresses := found.get(HeaderTag.ADDRESSES):
            if addresses.load_addr == abi.FROM_START:
                # as far before the header as in the file
                addresses.load_addr = (addresses.header_addr - at) % (1 << 32)
            address, content, size = by_addresses(data, at, addresses)
            placed, start = [Placed(address, content, size)], 0
        else:
            file = read_file_elf(data)
            placed = file.placed
            start = 0 if entry else file.physical_entry()
        return Multiboot2Kernel(
            entry=entry or start,
            placed=placed,
            relocatable=found.get(HeaderTag.RELOCATABLE),
        )
    except (ElfError, ValueError) as error:
        what = f"a Multiboot 2 kernel that cannot be loaded: {error}"
        hint = "change its header or its linker script, or start it by GRUB"
        raise FwbuildError(ExitCode.KERNEL, what, where=where, hint=hint) from None


def _tags(data: bytes, at: int) -> Iterator[tuple[HeaderTag, Any]]:
    """The header's tags that say something. Raises ValueError for one that the firmware refuses."""
    head = data[: abi.HEADER_SEARCH].ljust(abi.HEADER_SEARCH + abi.HEADER_SEARCH, b"\0")
    at += abi.HEADER.sizeof()
    while at < abi.HEADER_SEARCH:
        tag = abi.HEADER_TAG.parse(head[at:])
        size = STRUCTS.get(tag.type, abi.HEADER_TAG).sizeof()
        if not size <= tag.size < abi.HEADER_SEARCH:
            raise ValueError(f"a tag of {tag.size} bytes in its header")
        if tag.type == HeaderTag.END:
            return
        if not tag.flags & abi.OPTIONAL:
            _check(tag, head[at : at + tag.size])
        if tag.type in STRUCTS:
            kind = HeaderTag(tag.type)
            yield kind, STRUCTS[kind].parse(head[at:])
        at += align_up(tag.size, abi.HEADER_ALIGN)
    raise ValueError("its header has no end")


def _check(tag: Any, data: bytes) -> None:
    """Raise for a tag that is required, if the firmware cannot do what it wants."""
    if tag.type == HeaderTag.INFORMATION:
        words = data[abi.HEADER_TAG.sizeof() :]
        wanted = [int.from_bytes(words[i : i + 4], "little") for i in range(0, len(words), 4)]
        if wanted and max(wanted) > max(InfoTag):
            raise ValueError(f"it wants information of type {max(wanted)}, which nobody knows")
    elif tag.type == HeaderTag.CONSOLE:
        if abi.CONSOLE.parse(data).console_flags & abi.CONSOLE_REQUIRED:
            raise ValueError("it wants a console")
    elif tag.type not in (*IGNORED, *STRUCTS):
        raise ValueError(f"its header has a tag of type {tag.type}, which the firmware lacks")
