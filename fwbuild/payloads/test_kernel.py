"""Builds the project's test kernel in the forms that QEMU's loader knows.

It is what the tools boot where the user names no kernel. No image ever contains it.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

from fwbuild.abi import linux_boot, low_memory
from fwbuild.assembler.link import Linked, Linker
from fwbuild.assembler.source import Fragment, data_fragment
from fwbuild.firmware import layout, test_kernel
from fwbuild.guest import Guest
from fwbuild.image.build import all_symbols
from fwbuild.image.elf import Segment, pvh_note, symbols_of, write_elf
from fwbuild.image.place import one_after_the_other
from fwbuild.image.sources import read_firmware, read_sources
from fwbuild.image.template import DEFAULT, Template

READ_WRITE_EXECUTE = 7
MEMORY = test_kernel.STACK_END - test_kernel.BASE
HEADER_JUMP = 0xEB | (linux_boot.SETUP_HEADER.sizeof() - linux_boot.HEADER_JUMP_BASE) << 8


def _spoils(kernel: str, protocol: str) -> Fragment:
    """The early writes of a kernel, for test_spoil: bytes and address of each range, then a 0."""
    ranges = [s for s in low_memory.SPOILS if (s.kernel, s.protocol) == (kernel, protocol)]
    numbers = [n for s in ranges for n in (s.end - s.start, s.start)] + [0]
    data = b"".join(n.to_bytes(4, "little") for n in numbers)
    return data_fragment("test_spoils", data, f"ranges to fill as {kernel or 'nobody'} does")


@cache
def _link(
    *entries: str, base: int = test_kernel.BASE, spoils: str = "", protocol: str = ""
) -> tuple[Linked, bytes]:
    """The program that the entries need, and its bytes from `base` on. The first entry comes
    first."""
    symbols = all_symbols(Template.load(DEFAULT))
    fragments = read_sources("asm/test_kernel", symbols) + read_firmware(symbols)
    fragments.append(_spoils(spoils, protocol))
    fragments.sort(key=lambda f: f.name != entries[0])
    linked = Linker(symbols).link(fragments, entries, one_after_the_other(base))
    end = max(linked.addresses[f.name] + linked.size(f.name) for f in linked.fragments)
    return linked, linked.bytes_at(base, end - base)


def build_test_kernel(note_width: int = 4, spoils: str = "") -> bytes:
    """A 32-bit ELF file with a PVH note. `note_width`: bytes of its descriptor, 4 or 8;
    `spoils`: the kernel of low_memory.SPOILS that it behaves like."""
    linked, code = _link("test_kernel_entry", spoils=spoils, protocol="pvh")
    entry = linked.addresses["test_kernel_entry"]
    segment = Segment(test_kernel.BASE, code, MEMORY, READ_WRITE_EXECUTE)
    return write_elf([segment], symbols_of(linked), entry, pvh_note(entry, note_width))


def build_test_multiboot(spoils: str = "", base: int = test_kernel.BASE) -> bytes:
    """A 32-bit ELF file with a Multiboot header, loaded at `base`; `spoils` as above."""
    entries = ("test_multiboot_header", "test_multiboot_entry")
    linked, code = _link(*entries, base=base, spoils=spoils, protocol="multiboot")
    memory = MEMORY if base == test_kernel.BASE else len(code)  # its stack stays where it is
    segment = Segment(base, code, memory, READ_WRITE_EXECUTE)
    return write_elf([segment], symbols_of(linked), linked.addresses["test_multiboot_entry"])


def write_test_kernel(folder: Path) -> Path:
    """The file with build_test_kernel() in a folder."""
    path = folder / "test-kernel.elf"
    path.write_bytes(build_test_kernel())
    return path


def with_test_kernel(guest: Guest, folder: Path) -> Guest:
    """The guest; if it has no kernel, with the test kernel, which goes to a folder: a bzImage for a
    machine type that may not load a vmlinux."""
    if guest.has_kernel:
        return guest
    if guest.family.loads_pvh(guest.machine_type):
        return replace(guest, kernel=write_test_kernel(folder))
    path = folder / "test-kernel.bin"
    path.write_bytes(build_test_bzimage())
    return replace(guest, kernel=path)


def build_test_bzimage(**fields: int) -> bytes:
    """A bzImage without real-mode code. `fields` of the header stand in for what a kernel says
    that runs where it is loaded."""
    return build_bzimage(_link("test_linux_entry")[1], **fields)


def build_bzimage(code: bytes, **fields: int) -> bytes:
    """A bzImage whose protected-mode part, linked at test_kernel.BASE, is `code`; `fields` as
    above."""
    return _setup(fields, b"") + code


def build_test_bzimage16(**fields: int) -> bytes:
    """A bzImage of boot protocol 2.07 whose setup code calls the BIOS."""
    start = linux_boot.SETUP_HEADER.sizeof()  # where the header's jump leads
    _, code = _link("test_linux16_entry", base=layout.region("setup").base + start)
    sectors = (start + len(code)) // linux_boot.SECTOR
    return _setup({"setup_sects": sectors, "version": 0x207} | fields, code) + bytes(16)


def _setup(fields: dict[str, int], code: bytes) -> bytes:
    """The boot sector and the setup code; what is neither header nor code is 0xff."""
    header = linux_boot.SETUP_HEADER.parse(bytes(linux_boot.SETUP_HEADER.sizeof()))
    header.update(
        {
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
        }
        | fields
    )
    built = bytes(linux_boot.SETUP_HEADER.build(header))[linux_boot.HEADER_OFFSET :]
    size = (1 + (header.setup_sects or linux_boot.SETUP_SECTS_DEFAULT)) * linux_boot.SECTOR
    return (b"\xff" * linux_boot.HEADER_OFFSET + built + code).ljust(size, b"\xff")
