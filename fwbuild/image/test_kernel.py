"""Builds the project's test kernel: a 32-bit ELF with a PVH note.

It is what the tools boot where the user names no kernel. No image ever contains it.
"""

from collections.abc import Mapping, Sequence

from fwbuild import abi, layout
from fwbuild.abi import test_kernel
from fwbuild.assembler.link import Linker
from fwbuild.assembler.source import Fragment
from fwbuild.image import template
from fwbuild.image.elf import Segment, pvh_note, symbols_of, write_elf
from fwbuild.image.sources import read_sources

ENTRY = "test_kernel_entry"
READ_WRITE_EXECUTE = 7


def _place(fragments: Sequence[Fragment], sizes: Mapping[str, int]) -> dict[str, int]:
    """One fragment behind the other from test_kernel.BASE on."""
    addresses, at = {}, test_kernel.BASE
    for fragment in fragments:
        addresses[fragment.name] = at
        at += sizes[fragment.name]
    return addresses


def build_test_kernel(note_width: int = 4) -> bytes:
    """The kernel's ELF file. `note_width`: bytes of the note's descriptor, 4 or 8."""
    symbols = abi.symbols() | layout.symbols() | template.load(template.DEFAULT).symbols()
    fragments = read_sources("asm/test_kernel", symbols) + read_sources("asm", symbols)
    linked = Linker(symbols).link(fragments, [ENTRY], _place)
    end = max(linked.addresses[f.name] + linked.size(f.name) for f in linked.fragments)
    code = linked.bytes_at(test_kernel.BASE, end - test_kernel.BASE)
    entry = linked.addresses[ENTRY]
    memory = test_kernel.STACK_END - test_kernel.BASE
    segment = Segment(test_kernel.BASE, code, memory, READ_WRITE_EXECUTE)
    return write_elf([segment], symbols_of(linked), entry, pvh_note(entry, note_width))
