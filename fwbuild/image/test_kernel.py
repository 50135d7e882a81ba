"""Builds the project's test kernel in the forms that QEMU's loader knows.

It is what the tools boot where the user names no kernel. No image ever contains it.
"""

from collections.abc import Mapping, Sequence

from fwbuild import abi, layout
from fwbuild.abi import linux_boot, test_kernel
from fwbuild.assembler.link import Linked, Linker
from fwbuild.assembler.source import Fragment
from fwbuild.image import template
from fwbuild.image.elf import Segment, pvh_note, symbols_of, write_elf
from fwbuild.image.sources import read_sources

READ_WRITE_EXECUTE = 7
MEMORY = test_kernel.STACK_END - test_kernel.BASE
HEADER_JUMP = 0xEB | (linux_boot.SETUP_HEADER.sizeof() - linux_boot.HEADER_JUMP_BASE) << 8


def _place(fragments: Sequence[Fragment], sizes: Mapping[str, int]) -> dict[str, int]:
    """One fragment behind the other from test_kernel.BASE on."""
    addresses, at = {}, test_kernel.BASE
    for fragment in fragments:
        addresses[fragment.name] = at
        at += sizes[fragment.name]
    return addresses


def _link(entry: str) -> tuple[Linked, bytes]:
    """The program that an entry needs, and its bytes from test_kernel.BASE on."""
    symbols = abi.symbols() | layout.symbols() | template.load(template.DEFAULT).symbols()
    fragments = read_sources("asm/test_kernel", symbols) + read_sources("asm", symbols)
    fragments.sort(key=lambda f: f.name != entry)  # a bzImage is entered at its start
    linked = Linker(symbols).link(fragments, [entry], _place)
    end = max(linked.addresses[f.name] + linked.size(f.name) for f in linked.fragments)
    return linked, linked.bytes_at(test_kernel.BASE, end - test_kernel.BASE)


def build_test_kernel(note_width: int = 4) -> bytes:
    """A 32-bit ELF file with a PVH note. `note_width`: bytes of its descriptor, 4 or 8."""
    linked, code = _link("test_kernel_entry")
    entry = linked.addresses["test_kernel_entry"]
    segment = Segment(test_kernel.BASE, code, MEMORY, READ_WRITE_EXECUTE)
    return write_elf([segment], symbols_of(linked), entry, pvh_note(entry, note_width))


def build_test_bzimage(**fields: int) -> bytes:
    """A bzImage without real-mode code. `fields` of the header stand in for what a kernel says
    that runs where it is loaded."""
    header = linux_boot.SETUP_HEADER.parse(bytes(linux_boot.SETUP_HEADER.sizeof()))
    header.update({
        "setup_sects": 1,
        "boot_flag": linux_boot.BOOT_FLAG,
        "jump": HEADER_JUMP,
        "header": linux_boot.HEADER_MAGIC,
        "version": linux_boot.PROTOCOL_NEWEST,
        "loadflags": linux_boot.LoadFlag.LOADED_HIGH,
        "code32_start": test_kernel.BASE,
        "initrd_addr_max": 0x7FFFFFFF,
        "kernel_alignment": 0x1000,
        "cmdline_size": 2047,
        "pref_address": test_kernel.BASE,
        "init_size": MEMORY,
    } | fields)  # fmt: skip
    setup = bytes(linux_boot.SETUP_HEADER.build(header))[linux_boot.HEADER_OFFSET :]
    filler = b"\xff" * linux_boot.HEADER_OFFSET  # what nobody may take for boot_params
    return (filler + setup).ljust(2 * linux_boot.SECTOR, b"\xff") + _link("test_linux_entry")[1]
