"""PVH: an uncompressed kernel whose ELF note names a 32-bit entry.

QEMU puts the kernel's segments into RAM itself. The entry gets hvm_start_info in EBX.
Source: Xen, docs/misc/pvh.pandoc; Linux, arch/x86/platform/pvh/enlighten.c; QEMU,
hw/i386/x86.c load_elfboot() and include/hw/elf_ops.h.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fwbuild.abi import e820, pvh, x86
from fwbuild.abi.elf import MAGIC
from fwbuild.abi.fw_cfg import Key
from fwbuild.abi.x86 import PAGE
from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.recording import Recording
from fwbuild.emulator.state import ReadMemory, State
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import layout
from fwbuild.firmware.options import BootProtocol
from fwbuild.guest import Guest
from fwbuild.kernel.elf_file import ElfError, LimitError
from fwbuild.kernel.file_elf import read_file_elf
from fwbuild.kernel.multiboot2 import find_header2
from fwbuild.kernel.near_header import near_header
from fwbuild.kernel.placed import Placed
from fwbuild.kernel.vmlinux import (
    DIVIDES,
    LIMITED,
    RELINK,
    Elf,
    parse_elf,
    parse_vmlinux,
    pvh_problem,
    refusal,
)
from fwbuild.protocols import tables
from fwbuild.protocols.checks import (
    clear_flags,
    command_line,
    descriptor,
    flat_segments,
    holds,
    inside,
    loaded,
    module_files,
    number,
    ram_of,
)
from fwbuild.protocols.loading import MORE_MEMORY, initrd_items, number_items
from fwbuild.protocols.multiboot2 import BY_FILE
from fwbuild.protocols.protocol import MODULES_MAX, Handoff, Protocol, numbers, read_string
from fwbuild.protocols.report import Problem, Report, elf_facts

ENTRIES_MAX = 1 << 10  # of a memory map
SETUP_SIZE = 8192  # QEMU keeps the first 8 KiB of the ELF file as SETUP_DATA
BANNER = re.compile(rb"Linux version ([\x20-\x7e]{1,200})")
REFUSAL = "Error loading uncompressed kernel without PVH ELF Note"
# Xen, common/libelf/libelf-dominfo.c; rust-vmm's linux-loader, src/loader/elf/mod.rs
OTHER_NAME = (
    'its PVH note is named "{}": QEMU takes it by its type alone, but Xen, Firecracker and '
    'Cloud Hypervisor only by the name "Xen"'
)
OLD_MACHINES = "machine types up to 3.1 (pc-i440fx-3.1, pc-q35-3.1) do not load it"


@dataclass(frozen=True, kw_only=True)
class PvhHandoff(Handoff):
    """start_info and what it points at, parsed by abi.pvh's declarations."""

    start_info: Any
    modules: list[Any]

    def more(self) -> dict[str, Any]:
        return {
            "start_info": numbers(self.start_info),
            "modules": [numbers(m) for m in self.modules],
        }

    def heading(self) -> tuple[str, str]:
        return "hvm_start_info", f"version {self.start_info.version}"

    @property
    def rsdp(self) -> int:
        return int(self.start_info.rsdp_paddr)

    def structures(self) -> dict[str, tuple[int, int]]:
        """The areas without the modules' own bytes."""
        info, modules = self.start_info, len(self.modules)
        return {
            "start_info": (self.address, pvh.START_INFO.sizeof()),
            "memory map": (info.memmap_paddr, len(self.memmap) * pvh.MEMMAP_ENTRY.sizeof()),
            "command line": (info.cmdline_paddr, len(self.cmdline) + 1),
            "module list": (info.modlist_paddr, modules * pvh.MODLIST_ENTRY.sizeof()),
        }

    def areas(self) -> dict[str, tuple[int, int]]:
        modules = {f"module {i}": (m.paddr, m.size) for i, m in enumerate(self.modules)}
        return self.structures() | modules

    def pieces(self) -> list[tuple[str, str]]:
        return [("module", f"{m.paddr:#x}, {m.size} bytes") for m in self.modules]


class Pvh(Protocol):
    name = BootProtocol.PVH
    title = "PVH ABI"
    source = "Xen, docs/misc/pvh.pandoc"
    pointer = "ebx"
    reloaded = True
    nowhere = "GDT or hvm_start_info"

    def recognises(self, data: bytes) -> bool:
        return data.startswith(MAGIC)

    def load(self, guest: Guest, recording: Recording, data: bytes, where: str) -> Loaded:
        vmlinux = parse_vmlinux(data, where)
        for placed in vmlinux.placed:
            if not recording.has_ram(placed.address, placed.size):
                what = f"a segment at {placed.address:#x} lies outside RAM"
                raise FwbuildError(ExitCode.KERNEL, what, where=where, hint=MORE_MEMORY)
        cmdline = os.fsencode(guest.append) + b"\0"
        keys = number_items(
            {
                Key.KERNEL_ADDR: vmlinux.low,
                Key.KERNEL_SIZE: vmlinux.high - vmlinux.low,
                Key.KERNEL_ENTRY: vmlinux.pvh_entry,
                Key.SETUP_ADDR: 0,
                Key.SETUP_SIZE: SETUP_SIZE,
                Key.CMDLINE_ADDR: 0,
                Key.CMDLINE_SIZE: len(cmdline),
            }
        )
        keys |= {
            Key.SETUP_DATA: data[:SETUP_SIZE].ljust(SETUP_SIZE, b"\0"),
            Key.CMDLINE_DATA: cmdline,
        }
        keys |= initrd_items(guest, recording)
        return Loaded(self.name, vmlinux.pvh_entry, vmlinux.placed, keys)

    def place(self, data: bytes, where: str, top: int) -> tuple[int, list[Placed]] | None:
        try:
            file = read_file_elf(data)
            entry = file.pvh_entry()
        except ElfError as error:
            raise refusal(error, where) from None
        return None if entry is None else (entry, file.placed)

    def entries(self, data: bytes, where: str) -> dict[str, int]:
        return {"PVH": parse_vmlinux(data, where).pvh_entry}

    def report(self, data: bytes) -> Report:
        try:
            elf = parse_elf(data)
        except LimitError as error:
            found = Report("vmlinux", "ELF file beyond fwbuild's limits")
            found.problems.append(Problem(f"{LIMITED}: {error}", RELINK))
            return found
        except ElfError as error:
            found = Report("vmlinux", "ELF file that cannot be loaded")
            found.problems.append(
                Problem(
                    f'QEMU: "{error.qemu}": {error}',
                    "copy the file again, or build it for x86",
                )
            )
            return found
        note = "without" if elf.pvh_note is None else "with"
        found = Report("vmlinux", f"vmlinux, {elf.bits}-bit, {note} PVH note", elf_facts(elf))
        found.facts["multiboot2"] = find_header2(data) is not None
        if banner := BANNER.search(data):
            found.facts["kernel_version"] = banner[1].decode("ascii")
        if not (elf.pvh_note or found.facts["multiboot2"]) and (why := near_header(data)):
            found.notes.append(why)
        _note(elf, found)
        return found

    def read(self, state: State) -> PvhHandoff:
        address = state.registers[self.pointer]
        info = pvh.START_INFO.parse(state.read(address, pvh.START_INFO.sizeof()))
        modules = min(info.nr_modules, MODULES_MAX)
        entries = min(info.memmap_entries, ENTRIES_MAX)
        cmdline = info.cmdline_paddr
        return PvhHandoff(
            address=address,
            start_info=info,
            modules=_table(state.read, info.modlist_paddr, modules, pvh.MODLIST_ENTRY),
            memmap=_table(state.read, info.memmap_paddr, entries, pvh.MEMMAP_ENTRY),
            cmdline=read_string(state.read, cmdline) if cmdline else b"",
        )

    def registers(self, state: State) -> Iterator[str]:
        registers = state.registers
        if registers["cr0"] != x86.Cr0.PE | x86.Cr0.ET:
            yield f"CR0 is {registers['cr0']:#x}, not PE alone"
        if registers["cr4"]:
            yield f"CR4 is {registers['cr4']:#x}, not 0"
        yield from clear_flags(state, x86.Eflags.VM, x86.Eflags.IF, x86.Eflags.TF)
        yield from flat_segments(state)
        yield from _task_register(state)

    def handed(self, state: State, handoff: PvhHandoff) -> Iterator[str]:
        yield from _start_info(handoff)
        yield from tables.memmap_problems(state, handoff.memmap, e820.EBDA)
        yield from self.contents(state, handoff)
        yield from _places(state, handoff)
        yield from tables.table_problems(state, handoff.memmap, handoff.start_info.rsdp_paddr)

    def contents(self, state: State, handoff: PvhHandoff) -> Iterator[str]:
        """Departures of command line, modules and kernel from what the host has for them."""
        yield from command_line(state, handoff)
        yield from _contents(state, handoff)


PVH = Pvh()


def _table(read: ReadMemory, address: int, count: int, entry: Any) -> list[Any]:
    """`count` structures that follow each other."""
    size = entry.sizeof()
    data = read(address, count * size) if count else b""
    return [entry.parse(data[i : i + size]) for i in range(0, len(data), size)]


def _task_register(state: State) -> Iterator[str]:
    if state.tr == 0:
        yield "TR was never loaded"
        return
    base, limit, access, flags = descriptor(state, state.tr)
    kinds = (x86.Access.TSS32, x86.Access.TSS32_BUSY)
    if (base, limit, flags) != (0, x86.TSS32_LIMIT, 0) or access not in kinds:
        yield f"TR is not a 32-bit TSS of base 0, limit 0x67: {base:#x} {limit:#x} {access:#x}"
    used = state.hidden.get("tr")
    if used and used != (0, x86.TSS32_LIMIT, x86.Access.TSS32_BUSY):
        yield f"the CPU's TR is not a 32-bit TSS of base 0, limit 0x67: {used}"


def _start_info(handoff: PvhHandoff) -> Iterator[str]:
    info = handoff.start_info
    wanted = {
        "magic": pvh.START_INFO_MAGIC,
        "version": pvh.START_INFO_VERSION,
        "flags": 0,
        "reserved": 0,
        "memmap_entries": len(handoff.memmap),
        "nr_modules": len(handoff.modules),
    }
    for name, value in wanted.items():
        if info[name] != value:
            yield f"start_info.{name} is {info[name]:#x}, not {value:#x}"
    if not info.nr_modules and info.modlist_paddr:
        yield "start_info.modlist_paddr is set without modules"
    for i, module in enumerate(handoff.modules):
        if module.reserved:
            yield f"module {i}: reserved is {module.reserved:#x}"
        if not module.cmdline_paddr:
            yield f"module {i}: no command line, where FreeBSD reads a string"


def _contents(state: State, handoff: PvhHandoff) -> Iterator[str]:
    initrd = state.items.get(Key.INITRD_DATA, b"")
    found = [(m.paddr, m.size, _text(state, m)) for m in handoff.modules]
    yield from module_files(state, found[bool(initrd) :])
    if initrd and found and found[0][2]:
        yield "the initrd's command line is not empty"
    if initrd:
        address = number(state, Key.INITRD_ADDR)
        first = handoff.modules[0] if handoff.modules else None
        if first is None or (first.paddr, first.size) != (address, len(initrd)):
            yield "the first module is not the initrd"
        elif not holds(state, address, initrd):
            yield "the initrd's contents are damaged"
    yield from loaded(state, found)


def _text(state: State, module: Any) -> bytes:
    """A module's command line: nothing where its address is 0, at which there is no text."""
    if not module.cmdline_paddr:
        return b""
    try:
        return read_string(state.read, module.cmdline_paddr)
    except MemoryError:
        return b"?"


def _places(state: State, handoff: PvhHandoff) -> Iterator[str]:
    """Everything handed over lies in RAM that the map shows as RAM, below 1 GiB."""
    ram = ram_of(handoff.memmap)
    for name, (address, size) in handoff.structures().items():
        end = address + size
        if size and (not inside(ram, address, end) or end > pvh.HANDOFF_LIMIT):
            yield f"the {name} at {address:#x} is not in RAM below 1 GiB"
    nvs = tables.ranges_of(handoff.memmap, e820.Type.NVS)
    allowed = [*ram, *nvs, (layout.F_SEGMENT.base, layout.F_SEGMENT.end)]
    written = [page * PAGE for page in state.writes or ()]
    outside = [at for at in written if not inside(allowed, at, at + 1)]
    if outside:
        yield f"memory outside the declared areas was written: {min(outside):#x}"


def _note(elf: Elf, found: Report) -> None:
    """How QEMU and the firmware take its PVH note."""
    found.qemu = f'refuses it: "{REFUSAL}"'
    if elf.ends_qemu:
        found.qemu = DIVIDES
    elif elf.pvh_qemu is not None:
        found.qemu = f"loads its segments and takes {elf.pvh_qemu:#x} for its PVH entry"
    if problem := pvh_problem(elf):
        what, hint = problem
        if found.facts["multiboot2"]:
            what += ", and QEMU does not know Multiboot 2"
            hint = BY_FILE
        found.problems.append(Problem(what, hint))
        return
    assert elf.pvh_qemu is not None
    found.protocol = BootProtocol.PVH
    if elf.pvh_note and elf.pvh_note.name != pvh.ELF_NOTE_NAME:
        found.notes.append(OTHER_NAME.format(found.facts["pvh_note_name"]))
    found.notes.append(OLD_MACHINES)
    if not elf.low <= elf.pvh_qemu < elf.high:
        found.stops("KERNEL_ENTRY", f"{elf.low:08x}")
    elif elf.low < e820.EXTENDED:
        found.stops("KERNEL_OVERLAP", f"{elf.low:08x}")
