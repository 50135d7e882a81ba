"""Linux's 64-bit boot protocol: a vmlinux without a PVH note, entered in long mode at the entry of
its ELF header with boot_params in RSI, as Firecracker and Cloud Hypervisor do it.

QEMU's -kernel refuses such a file: the firmware loads it itself. The file has no setup header, so
the loader makes one.
Source: Linux, Documentation/arch/x86/boot.rst "64-bit Boot Protocol" and zero-page.rst.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fwbuild.abi import e820, linux_boot, x86
from fwbuild.abi.linux_boot import BOOT_PARAMS, LoadFlag
from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.recording import Recording
from fwbuild.emulator.state import ReadMemory, State
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware.options import BootProtocol
from fwbuild.guest import Guest
from fwbuild.kernel.elf_file import ElfError
from fwbuild.kernel.file_elf import read_file_elf
from fwbuild.kernel.placed import Placed
from fwbuild.kernel.vmlinux import Elf, parse_elf, refusal
from fwbuild.protocols import tables
from fwbuild.protocols.checks import (
    clear_flags,
    command_line,
    flat_segments,
    inside,
    loaded,
    module_files,
    ram_of,
)
from fwbuild.protocols.linux import BOOT_CS, BOOT_DS, LinuxHandoff, empty_fields, read_boot_params
from fwbuild.protocols.multiboot2 import BY_FILE
from fwbuild.protocols.protocol import Protocol
from fwbuild.protocols.report import Report, elf_facts

NO_KERNEL = "QEMU's -kernel takes no ELF file without a PVH note"
TOO_HIGH = "its entry lies above 4 GiB"
LINK_LOW = "let its ELF header have the physical address of startup_64"
TABLE_MASK = 0x000FFFFFFFFFF000  # the address in an entry of a page table
# Header fields that this loader fills; all others are zeros.
FILLED = {
    "boot_flag": linux_boot.BOOT_FLAG,
    "header": linux_boot.HEADER_MAGIC,
    "version": linux_boot.PROTOCOL_MODERN,
    "type_of_loader": linux_boot.TYPE_OF_LOADER,
    "loadflags": LoadFlag.LOADED_HIGH,
}
POINTERS = ("cmd_line_ptr", "ramdisk_image", "ramdisk_size")


@dataclass(frozen=True, kw_only=True)
class Linux64Handoff(LinuxHandoff):
    """boot_params, and the page tables: each one's address, the top one first."""

    page_tables: list[int]

    def areas(self) -> dict[str, tuple[int, int]]:
        pages = {f"page table {i}": (at, x86.PAGE) for i, at in enumerate(self.page_tables)}
        return super().areas() | pages


class Linux64(Protocol):
    name = BootProtocol.LINUX64
    title = "Linux 64-bit boot protocol"
    source = 'Linux, Documentation/arch/x86/boot.rst "64-bit Boot Protocol"'
    pointer = "esi"
    nowhere = "GDT, page tables or boot_params"
    modules_max = 1  # the firmware hands over the first alone

    def recognises(self, data: bytes) -> bool:
        return False  # QEMU never does

    def load(self, guest: Guest, recording: Recording, data: bytes, where: str) -> Loaded:
        raise FwbuildError(ExitCode.KERNEL, NO_KERNEL, where=where, hint=BY_FILE)

    def place(self, data: bytes, where: str, top: int) -> tuple[int, list[Placed]] | None:
        try:
            file = read_file_elf(data)
            noted = file.pvh_entry() is not None
        except ElfError as error:
            raise refusal(error, where) from None
        if not file.wide or noted:
            return None
        if file.entry >= e820.FOUR_GIB:
            raise FwbuildError(ExitCode.KERNEL, TOO_HIGH, where=where, hint=LINK_LOW)
        return file.entry, file.placed

    def entries(self, data: bytes, where: str) -> dict[str, int]:
        return {"64-bit": _elf(data, where).elf_entry}

    def report(self, data: bytes) -> Report:
        elf = _elf(data, "the kernel")
        found = Report("vmlinux", "vmlinux, 64-bit, without PVH note", elf_facts(elf))
        found.protocol = self.name
        return found

    def read(self, state: State) -> Linux64Handoff:
        address = state.registers[self.pointer]
        return Linux64Handoff(
            **read_boot_params(state, address),
            page_tables=[at for at, _ in _tables(state.read, state.registers["cr3"])],
        )

    def registers(self, state: State) -> Iterator[str]:
        for name, value in {"cs": BOOT_CS, "ds": BOOT_DS, "es": BOOT_DS, "ss": BOOT_DS}.items():
            if state.registers[name] != value:
                yield f"{name.upper()} is {state.registers[name]:#x}, not {value:#x}"
        wanted: dict[str, int] = {
            "cr0": x86.Cr0.PE | x86.Cr0.PG,
            "cr4": x86.Cr4.PAE,
            "efer": x86.Efer.LME | x86.Efer.LMA,
        }
        for name, bits in wanted.items():
            if state.registers[name] & bits != bits:
                yield f"{name.upper()} is {state.registers[name]:#x}: no long mode with paging"
        yield from clear_flags(state, x86.Eflags.IF)
        yield from flat_segments(state, code=x86.FLAGS_64)
        yield from _identity(state)

    def handed(self, state: State, handoff: Linux64Handoff) -> Iterator[str]:
        yield from empty_fields(handoff)
        yield from _header(handoff)
        yield from tables.memmap_problems(state, handoff.memmap, e820.EBDA)
        yield from tables.table_problems(state, handoff.memmap, handoff.rsdp)
        yield from command_line(state, handoff)
        yield from _initrd(state, handoff)
        yield from _places(state, handoff)


LINUX64 = Linux64()


def _elf(data: bytes, where: str) -> Elf:
    try:
        return parse_elf(data)
    except ElfError as error:
        raise refusal(error, where) from None


def _tables(read: ReadMemory, cr3: int) -> Iterator[tuple[int, Sequence[int]]]:
    """(address, entries) of the table of the top level, of the one that maps the low 512 GiB, and
    of the directories of the low 4 GiB that are there. Raises MemoryError for one that lies
    nowhere."""

    def table(at: int) -> tuple[int, list[int]]:
        data = read(at, x86.PAGE)
        return at, [int.from_bytes(data[i : i + 8], "little") for i in range(0, x86.PAGE, 8)]

    top = table(cr3 & TABLE_MASK)
    yield top
    middle = table(top[1][0] & TABLE_MASK)
    yield middle
    for entry in middle[1][: e820.FOUR_GIB >> 30]:
        if entry & x86.PageFlag.PRESENT:
            yield table(entry & TABLE_MASK)


def _identity(state: State) -> Iterator[str]:
    """The low 4 GiB are mapped to themselves, by pages of 2 MiB that can be written."""
    top, middle, *directories = (t for _, t in _tables(state.read, state.registers["cr3"]))
    table = x86.PageFlag.PRESENT | x86.PageFlag.WRITABLE
    for entry in (top[0], *middle[: e820.FOUR_GIB >> 30]):
        if entry & ~TABLE_MASK & 0xFFF & ~0x60 != table:  # but for accessed and dirty
            yield f"page tables: an entry of a table is {entry:#x}"
            return
    pages = [entry for directory in directories for entry in directory]
    for number, entry in enumerate(pages):
        if entry & ~0x60 != number * x86.PAGE_2M | table | x86.PageFlag.LARGE:
            yield f"page tables: the entry of {number * x86.PAGE_2M:#x} is {entry:#x}"
            return


def _header(handoff: LinuxHandoff) -> Iterator[str]:
    header = handoff.boot_params.hdr
    empty = BOOT_PARAMS.parse(bytes(BOOT_PARAMS.sizeof())).hdr
    for name, value in header.items():
        if name.startswith("_") or name in POINTERS:
            continue
        wanted = FILLED.get(name, empty[name])
        if value != wanted:
            yield f"header: {name} is {value!r}, not {wanted!r}"


def _initrd(state: State, handoff: LinuxHandoff) -> Iterator[str]:
    """The first of the module files, whose command line nobody asks for."""
    header = handoff.boot_params.hdr
    given = [(header.ramdisk_image, header.ramdisk_size, b"")] if header.ramdisk_size else []
    yield from module_files(state, given, 1)
    yield from loaded(state, given)


def _places(state: State, handoff: Linux64Handoff) -> Iterator[str]:
    """All that is handed over lies in RAM, and nothing of it over the kernel."""
    ram = ram_of(handoff.memmap)
    areas = handoff.areas() | {"GDT": (state.gdtr[0], state.gdtr[1] + 1)}
    for name, (start, size) in areas.items():
        if size and not inside(ram, start, start + size):
            yield f"the {name} at {start:#x} is not in RAM"
        for segment in state.segments:
            if size and start < segment.end and segment.address < start + size:
                yield f"the {name} at {start:#x} lies in the kernel"
    spans = sorted((start, start + size, name) for name, (start, size) in areas.items() if size)
    for (_, end, low), (start, _, high) in pairwise(spans):
        if start < end:
            yield f"the {low} and the {high} overlap at {start:#x}"
