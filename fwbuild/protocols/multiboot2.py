"""Multiboot 2: a kernel whose header is a list of tags, entered with another list in EBX.

QEMU's -kernel does not know it: the firmware loads it itself.
Source: Multiboot2 Specification 2.0, 3.3 and 3.6; include/multiboot2.h of GRUB.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fwbuild.abi import acpi, e820, elf, smbios, x86
from fwbuild.abi import multiboot2 as abi
from fwbuild.abi.multiboot2 import InfoTag
from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.recording import Recording
from fwbuild.emulator.state import State
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import file_names, layout, work
from fwbuild.firmware.options import BootProtocol
from fwbuild.guest import Guest
from fwbuild.kernel.multiboot2 import Multiboot2Kernel, find_header2, parse_multiboot2
from fwbuild.kernel.placed import Placed
from fwbuild.protocols import tables
from fwbuild.protocols.checks import (
    command_line,
    inside,
    ram_of,
)
from fwbuild.protocols.loading import MORE_MEMORY
from fwbuild.protocols.multiboots import (
    ModulesHandoff,
    basic_memory,
    files_modules,
    machine_state,
)
from fwbuild.protocols.protocol import Protocol
from fwbuild.protocols.report import Problem, Report, stop_error
from fwbuild.protocols.tables.smbios import entry_point, pointed_at
from fwbuild.sizes import align_up

CLASS_64 = bytes([elf.CLASS_64])
TOTAL_MAX = 1 << 20  # bytes of the information that are read
INFO_ROOM = layout.MULTIBOOT2_END - layout.region("setup").base  # for all of the information
NO_KERNEL = "QEMU's -kernel does not know Multiboot 2"
BY_FILE = "give it to the firmware: -fw_cfg name=opt/fwbuild/kernel,file=KERNEL"


@dataclass(frozen=True, kw_only=True)
class Multiboot2Handoff(ModulesHandoff):
    """The information: (type, what follows the size) of each tag, the last one END; `total`
    bytes."""

    total: int
    reserved: int
    tags: list[tuple[int, bytes]]

    def of(self, kind: InfoTag) -> bytes | None:
        """The first tag of a type."""
        return next((data for number, data in self.tags if number == kind), None)

    def more(self) -> dict[str, Any]:
        return {"tags": [{"type": kind, "data": data.hex()} for kind, data in self.tags]}

    def heading(self) -> tuple[str, str]:
        return "information", f"{self.total} bytes, {len(self.tags)} tags"

    def areas(self) -> dict[str, tuple[int, int]]:
        return {"information": (self.address, self.total)} | self.module_areas()


class Multiboot2(Protocol):
    name = BootProtocol.MULTIBOOT2
    title = "Multiboot2 specification"
    source = "Multiboot2 Specification 2.0, 3.3 and 3.6"
    pointer = "ebx"
    nowhere = "GDT or the information"

    def recognises(self, data: bytes) -> bool:
        return False  # QEMU never does

    def load(self, guest: Guest, recording: Recording, data: bytes, where: str) -> Loaded:
        raise FwbuildError(ExitCode.KERNEL, NO_KERNEL, where=where, hint=BY_FILE)

    def place(self, data: bytes, where: str, top: int) -> tuple[int, list[Placed]] | None:
        kernel = parse_multiboot2(data, where)
        if kernel is None:
            return None
        if (size := _sections_size(data)) > INFO_ROOM:
            raise stop_error("INFO_SIZE", size, where)
        if kernel.relocatable:
            kernel = kernel.moved(_base(kernel, where, top))
        return kernel.entry, kernel.placed

    def entries(self, data: bytes, where: str) -> dict[str, int]:
        kernel = parse_multiboot2(data, where)
        return {"Multiboot 2": kernel.entry} if kernel else {}

    def report(self, data: bytes) -> Report:
        found = Report("multiboot2", "Multiboot 2 kernel", {"header_offset": find_header2(data)})
        found.qemu = "takes it for a kernel older than boot protocol 2.00"
        found.problems.append(Problem(NO_KERNEL, BY_FILE))
        return found

    def read(self, state: State) -> Multiboot2Handoff:
        address = state.registers[self.pointer]
        info = abi.INFO.parse(state.read(address, abi.INFO.sizeof()))
        data = state.read(address, min(info.total_size, TOTAL_MAX))
        found: list[tuple[int, bytes]] = []
        at = abi.INFO.sizeof()
        while at + abi.TAG.sizeof() <= len(data) and (not found or found[-1][0]):
            tag = abi.TAG.parse(data[at:])
            found.append((tag.type, data[at + abi.TAG.sizeof() : at + tag.size]))
            # the end has nothing after it
            at += align_up(max(tag.size, 1), abi.TAG_ALIGN) if tag.type else tag.size
        first = dict(reversed(found))
        modules = []
        for kind, payload in found:
            if kind == InfoTag.MODULE and len(payload) >= abi.MODULE.sizeof():
                module = abi.MODULE.parse(payload)
                text = payload[abi.MODULE.sizeof() :].partition(b"\0")[0]
                modules.append((module.start, module.end, text))
        size = abi.MMAP_ENTRY.sizeof()
        entries = first.get(InfoTag.MMAP, b"")[abi.MMAP.sizeof() :]
        whole = len(entries) - len(entries) % size
        return Multiboot2Handoff(
            address=address,
            total=at,
            reserved=info.reserved,
            tags=found,
            memmap=[abi.MMAP_ENTRY.parse(entries[i:]) for i in range(0, whole, size)],
            cmdline=first.get(InfoTag.CMDLINE, b"").partition(b"\0")[0],
            modules=modules,
        )

    def registers(self, state: State) -> Iterator[str]:
        yield from machine_state(state, abi.LOADER_MAGIC)

    def handed(self, state: State, handoff: Multiboot2Handoff) -> Iterator[str]:
        yield from _form(state, handoff)
        yield from _tags(state, handoff)
        yield from command_line(state, handoff)
        yield from tables.memmap_problems(state, handoff.memmap)
        yield from tables.table_problems(state, handoff.memmap, tables.find_rsdp(state))
        yield from files_modules(state, handoff)
        ram = ram_of(handoff.memmap)
        for name, (start, size) in handoff.areas().items():
            if size and not inside(ram, start, start + size):
                yield f"the {name} at {start:#x} is not in RAM"
            if start % (x86.PAGE if name != "information" else abi.TAG_ALIGN):
                yield f"the {name} at {start:#x} is not aligned"


MULTIBOOT2 = Multiboot2()


def _base(kernel: Multiboot2Kernel, where: str, top: int) -> int:
    """Where the firmware moves a kernel to; `top` is where RAM below 4 GiB ends."""
    tag = kernel.relocatable
    align = max(tag.align, 1)
    lowest = max(tag.min_addr, e820.EXTENDED)
    base = align_up(lowest, align) if tag.align else 0  # no number is a multiple of 0 but 0
    if tag.preference == abi.PREFER_HIGH:
        end = min(top, tag.max_addr)
        base = (end - align_up(kernel.size, x86.PAGE)) & -max(align, x86.PAGE)
    if base < lowest or base + kernel.size > tag.max_addr:
        what = f"its header lets it be moved to {tag.min_addr:#x} to {tag.max_addr:#x} alone"
        hint = f"{MORE_MEMORY}, or widen the range in its header"
        raise FwbuildError(ExitCode.KERNEL, what, where=where, hint=hint)
    return base


def _form(state: State, handoff: Multiboot2Handoff) -> Iterator[str]:
    """The list itself."""
    said = abi.INFO.parse(state.read(handoff.address, abi.INFO.sizeof())).total_size
    if said != handoff.total or handoff.reserved:
        yield f"information: {said} bytes, its tags take {handoff.total}"
    if not handoff.tags or handoff.tags[-1] != (InfoTag.END, b""):
        yield "information: its last tag is not the end"
    kinds = [kind for kind, _ in handoff.tags if kind != InfoTag.MODULE]
    if len(kinds) != len(set(kinds)):
        yield f"information: a tag is there twice: {kinds}"
    if strange := set(kinds) - set(InfoTag):
        yield f"information: tags of no known type: {sorted(strange)}"


def _tags(state: State, handoff: Multiboot2Handoff) -> Iterator[str]:
    """Each tag that says something of the machine."""
    size = abi.MMAP_ENTRY.sizeof()
    wanted = {
        InfoTag.CMDLINE: handoff.cmdline + b"\0",
        InfoTag.BOOT_LOADER_NAME: work.LOADER_NAME,
        InfoTag.MEMORY: abi.MEMORY.build(basic_memory(handoff.memmap)),
        InfoTag.ACPI_OLD: None,
        InfoTag.ACPI_NEW: None,
        InfoTag.SMBIOS: _smbios(state),
        InfoTag.LOAD_BASE: _load_base(state),
        InfoTag.ELF_SECTIONS: _sections(state.file(file_names.KERNEL)),
    }
    if rsdp := tables.find_rsdp(state):
        old = acpi.RSDP.sizeof()
        if acpi.RSDP.parse(state.read(rsdp, old)).revision:
            wanted[InfoTag.ACPI_NEW] = state.read(rsdp, old + acpi.RSDP_XSDT.sizeof())
        else:
            wanted[InfoTag.ACPI_OLD] = state.read(rsdp, old)
    for kind, data in wanted.items():
        if handoff.of(kind) != data:
            yield f"information: {kind.name} is {handoff.of(kind)!r}, not {data!r}"
    head = (handoff.of(InfoTag.MMAP) or b"")[: abi.MMAP.sizeof()]
    if head != abi.MMAP.build({"entry_size": size, "entry_version": 0}):
        yield f"information: the memory map begins with {head!r}"


def _smbios(state: State) -> bytes | None:
    at = entry_point(state.read)
    if at is None:
        return None
    entry, structures = pointed_at(state.read, at, state.read(at, len(smbios.ANCHOR_30)))
    head = {"major": entry.major, "minor": entry.minor, "reserved": bytes(6)}
    return bytes(abi.SMBIOS.build(head)) + structures


def _load_base(state: State) -> bytes | None:
    """The base of a kernel that may be moved."""
    kernel = parse_multiboot2(state.file(file_names.KERNEL), "the kernel")
    if kernel is None or not kernel.relocatable:
        return None
    return min(p.address for p in state.segments).to_bytes(4, "little")


def _sections_size(data: bytes) -> int:
    """Bytes of an ELF file's section headers, which are part of the information."""
    head = _elf_header(data)
    return int(head.shnum * head.shentsize) if head else 0


def _elf_header(data: bytes) -> Any:
    if not data.startswith(elf.MAGIC):
        return None
    kind = elf.EHDR64 if data[elf.IDENT_CLASS : elf.IDENT_CLASS + 1] == CLASS_64 else elf.EHDR
    return kind.parse(data.ljust(kind.sizeof(), b"\0"))  # the firmware takes a short one so


def _sections(data: bytes) -> bytes | None:
    """The section headers of an ELF file, as they are in the file."""
    size, head = _sections_size(data), _elf_header(data)
    if not head or not size:
        return None
    fields = {"num": head.shnum, "entsize": head.shentsize, "shndx": head.shstrndx}
    headers = data[head.shoff : head.shoff + size].ljust(size, b"\0")
    return bytes(abi.ELF_SECTIONS.build(fields)) + headers
