"""Multiboot 1: a kernel with a header in its first 8 KiB, entered with its information in EBX.

QEMU makes one piece of kernel, modules and all texts.
Source: Multiboot Specification 0.6.96, 3.1 to 3.3; QEMU, hw/i386/multiboot.c
load_multiboot().
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fwbuild.abi import e820, multiboot, x86
from fwbuild.abi.fw_cfg import Key
from fwbuild.abi.multiboot import INFO, HeaderFlag, InfoFlag
from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.recording import Recording
from fwbuild.emulator.state import State
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import read_file
from fwbuild.firmware import layout, work
from fwbuild.firmware.options import BootProtocol
from fwbuild.guest import Guest
from fwbuild.kernel.elf_file import LimitError
from fwbuild.kernel.multiboot import find_header, parse_file, parse_multiboot
from fwbuild.kernel.placed import Placed
from fwbuild.kernel.vmlinux import MEMORY_MAX, TOO_LARGE, beyond_limit
from fwbuild.protocols import tables
from fwbuild.protocols.checks import (
    command_line,
    holds,
    inside,
    is_file,
    number,
    ram_of,
)
from fwbuild.protocols.loading import number_items
from fwbuild.protocols.multiboots import (
    ModulesHandoff,
    basic_memory,
    files_modules,
    machine_state,
)
from fwbuild.protocols.protocol import MODULES_MAX, Protocol, numbers, read_string
from fwbuild.protocols.report import Problem, Report, flag_names
from fwbuild.sizes import align_up, padded

MMAP_ADDR = 0x9000  # QEMU's; the firmware uses places of its own
BOOT_DEVICE = 0x8000FFFF
LOADER_NAME = b"qemu\0"

MMAP_MAX = 0x10000  # bytes of the memory map that are read
# What the firmware fills; all else must be the host's.
FILLED = frozenset("flags mem_lower mem_upper mmap_length mmap_addr".split())
FILLED_FOR_FILES = frozenset("cmdline mods_count mods_addr boot_loader_name".split())


@dataclass(frozen=True, kw_only=True)
class MultibootHandoff(ModulesHandoff):
    """The information and what it points at, parsed by abi.multiboot's declarations."""

    info: Any
    loader: bytes

    def more(self) -> dict[str, Any]:
        return {
            "info": numbers(self.info),
            "loader": self.loader.decode("latin-1"),
            "modules": [
                {"start": start, "end": end, "cmdline": text.decode("latin-1")}
                for start, end, text in self.modules
            ],
        }

    def heading(self) -> tuple[str, str]:
        return "information", f"flags {self.info.flags:#x}"

    def areas(self) -> dict[str, tuple[int, int]]:
        return self.structures() | self.module_areas()

    def structures(self) -> dict[str, tuple[int, int]]:
        """The areas that the firmware makes."""
        return {
            "information": (self.address, INFO.sizeof()),
            "memory map": (self.info.mmap_addr, self.info.mmap_length),
        }


class Multiboot(Protocol):
    name = BootProtocol.MULTIBOOT
    title = "Multiboot specification"
    source = "Multiboot Specification 0.6.96, 3.2 and 3.3"
    pointer = "ebx"
    nowhere = "GDT or the information"

    def recognises(self, data: bytes) -> bool:
        return find_header(data) is not None

    def load(self, guest: Guest, recording: Recording, data: bytes, where: str) -> Loaded:
        """The guest's initrd is QEMU's -initrd: a list `FILE ARGUMENTS,FILE ARGUMENTS` of modules,
        commas in them doubled."""
        kernel = parse_multiboot(data, where)
        if kernel.size > MEMORY_MAX:
            raise beyond_limit(LimitError(TOO_LARGE), where)
        modules = guest.modules
        texts = [os.fsencode(f"{file} {text}" if text else file) + b"\0" for file, text in modules]
        texts.append(os.fsencode(f"{where} {guest.append}") + b"\0")
        # QEMU leaves room for the whole -initrd once more; nobody looks at what is there.
        room = len(texts[-1])
        room += len(os.fsencode(guest.initrd)) + 1 if guest.initrd else 0
        list_at = kernel.address + align_up(kernel.size, x86.PAGE)
        texts_at = list_at + len(modules) * multiboot.MODULE.sizeof()
        end = texts_at + room + len(LOADER_NAME)
        files_at = align_up(end, x86.PAGE)
        entries, files = b"", b""
        at = texts_at
        for (name, _), text in zip(modules, texts, strict=False):
            file = read_file(Path(name))
            start = files_at + len(files)
            entries += multiboot.MODULE.build(
                {"start": start, "end": start + len(file), "cmdline": at, "reserved": 0}
            )
            files += padded(file, x86.PAGE)
            at += len(text)
        middle = entries + b"".join(texts).ljust(room, b"\0") + LOADER_NAME
        content = kernel.content
        content += bytes(list_at - kernel.address - kernel.size)
        content += padded(middle, x86.PAGE) + files
        blob = bytes(content)
        if kernel.address + len(blob) > e820.FOUR_GIB:
            what = f"the kernel and its modules at {kernel.address:#x} pass 4 GiB"
            raise FwbuildError(ExitCode.KERNEL, what, where=where, hint="link the kernel lower")
        info = multiboot.INFO.parse(bytes(multiboot.INFO.sizeof()))
        info.flags = (
            InfoFlag.MEMORY
            | InfoFlag.BOOT_DEVICE
            | InfoFlag.CMDLINE
            | InfoFlag.MODULES
            | InfoFlag.MMAP
            | InfoFlag.BOOT_LOADER_NAME
        )
        info.boot_device = BOOT_DEVICE
        info.cmdline = at
        info.mods_count, info.mods_addr = len(modules), list_at
        info.mmap_addr = MMAP_ADDR
        info.boot_loader_name = texts_at + room
        keys = number_items(
            {
                Key.KERNEL_ADDR: kernel.address,
                Key.KERNEL_SIZE: len(blob),
                Key.KERNEL_ENTRY: kernel.entry,
                Key.SETUP_ADDR: 0,
                Key.SETUP_SIZE: 0,
                Key.CMDLINE_ADDR: 0,
                Key.CMDLINE_SIZE: 0,
                Key.INITRD_ADDR: multiboot.INFO_ADDRESS_QEMU,
                Key.INITRD_SIZE: multiboot.INFO_SIZE_QEMU,
            }
        )
        keys |= {
            Key.KERNEL_DATA: blob,
            Key.INITRD_DATA: multiboot.INFO.build(info)[: multiboot.INFO_SIZE_QEMU],
        }
        placed = [Placed(kernel.address, memoryview(kernel.content), kernel.size)]
        return Loaded(self.name, kernel.entry, keys=keys, placed=placed)

    def place(self, data: bytes, where: str, top: int) -> tuple[int, list[Placed]] | None:
        return parse_file(data, where)

    def entries(self, data: bytes, where: str) -> dict[str, int]:
        return {"Multiboot": parse_multiboot(data, where).entry}

    def report(self, data: bytes) -> Report:
        header = find_header(data)
        assert header
        at, fields = header
        found = Report(
            "multiboot",
            "Multiboot 1 kernel",
            {
                "header_offset": at,
                "flags": flag_names(HeaderFlag, fields.flags),
            },
        )
        found.qemu = "loads it by its Multiboot header, ahead of a PVH note"
        try:
            kernel = parse_multiboot(data, "")
        except FwbuildError as error:
            found.qemu = "refuses it, by its Multiboot header"
            found.problems.append(Problem(error.what, error.hint))
            return found
        found.facts |= {
            "entry": kernel.entry,
            "load_address": kernel.address,
            "load_end": kernel.address + kernel.size,
        }
        found.protocol = self.name
        if not found.templates:
            found.stops("KERNEL_KIND", f"{kernel.entry:08x}")
        # QEMU loads whole pages
        if not 0 <= kernel.entry - kernel.address < align_up(kernel.size, x86.PAGE):
            found.stops("KERNEL_ENTRY", f"{kernel.address:08x}")
        fits = layout.multiboot_fits(kernel.address, kernel.size)
        if kernel.address < e820.EXTENDED and not fits:
            found.stops("KERNEL_OVERLAP", f"{kernel.address:08x}")
        return found

    def read(self, state: State) -> MultibootHandoff:
        read, address = state.read, state.registers[self.pointer]
        info = INFO.parse(read(address, INFO.sizeof()))
        memmap, modules = [], []
        at, end = info.mmap_addr, info.mmap_addr + min(info.mmap_length, MMAP_MAX)
        while at < end:
            entry = multiboot.MMAP_ENTRY.parse(read(at, multiboot.MMAP_ENTRY.sizeof()))
            memmap.append(entry)
            at += entry.entry_size + 4
        for index in range(min(info.mods_count, MODULES_MAX)):
            size = multiboot.MODULE.sizeof()
            module = multiboot.MODULE.parse(read(info.mods_addr + index * size, size))
            modules.append((module.start, module.end, read_string(read, module.cmdline)))
        return MultibootHandoff(
            address=address,
            info=info,
            memmap=memmap,
            cmdline=read_string(read, info.cmdline),
            loader=read_string(read, info.boot_loader_name),
            modules=modules,
        )

    def registers(self, state: State) -> Iterator[str]:
        yield from machine_state(state, multiboot.LOADER_MAGIC)

    def handed(self, state: State, handoff: MultibootHandoff) -> Iterator[str]:
        yield from _info(state, handoff)
        yield from tables.memmap_problems(state, handoff.memmap)
        yield from tables.table_problems(state, handoff.memmap, tables.find_rsdp(state))
        yield from _contents(state, handoff)
        yield from _places(state, handoff)


MULTIBOOT = Multiboot()


def _info(state: State, handoff: MultibootHandoff) -> Iterator[str]:
    info = handoff.info
    host = INFO.parse(state.items.get(Key.INITRD_DATA, b"").ljust(INFO.sizeof(), b"\0"))
    filled = FILLED
    if is_file(state):
        filled |= FILLED_FOR_FILES
        host.flags = InfoFlag.CMDLINE | InfoFlag.MODULES | InfoFlag.BOOT_LOADER_NAME
    for field in INFO.subcons:
        if field.name not in filled and info[field.name] != host[field.name]:
            yield f"information: {field.name} is {info[field.name]}, the host's {host[field.name]}"
    wanted = host.flags | InfoFlag.MEMORY | InfoFlag.MMAP
    if info.flags != wanted:
        yield f"information: flags are {info.flags:#x}, not {wanted:#x}"
    for name, kib in basic_memory(handoff.memmap).items():
        if info[name] != kib:
            yield f"information: {name} is {info[name]}, not {kib}"
    for entry in handoff.memmap:
        if entry.entry_size != multiboot.MMAP_ENTRY_SIZE:
            yield f"memory map: an entry of {entry.entry_size} bytes"


def _contents(state: State, handoff: MultibootHandoff) -> Iterator[str]:
    if is_file(state):
        yield from command_line(state, handoff)
        if handoff.loader + b"\0" != work.LOADER_NAME:
            yield f"the loader's name is {handoff.loader!r}"
        yield from files_modules(state, handoff)
        return
    whole = all(placed.is_at(state.read) for placed in state.segments)
    if not (whole and all(holds(state, at, data) for at, data in _from_qemu(state))):
        yield "the kernel or a module is damaged"
    blob, base = state.items[Key.KERNEL_DATA], number(state, Key.KERNEL_ADDR)
    for index, (start, end, _) in enumerate(handoff.modules):
        if not base <= start <= end <= base + len(blob):
            yield f"module {index} lies outside what was loaded"


def _from_qemu(state: State) -> Iterator[tuple[int, bytes]]:
    """(address, bytes) of what QEMU adds to the kernel: the list of modules with all texts, and
    each module. What fills a page up after each, QEMU leaves as its own heap has it."""
    blob, base = state.items[Key.KERNEL_DATA], number(state, Key.KERNEL_ADDR)
    host = INFO.parse(state.items[Key.INITRD_DATA].ljust(INFO.sizeof(), b"\0"))
    start, end = host.mods_addr, host.boot_loader_name + len(LOADER_NAME)
    yield start, blob[start - base : end - base]
    size = multiboot.MODULE.sizeof()
    for index in range(host.mods_count):
        module = multiboot.MODULE.parse(blob[start - base + index * size :])
        yield module.start, blob[module.start - base : module.end - base]


def _places(state: State, handoff: MultibootHandoff) -> Iterator[str]:
    """Everything that the firmware puts in lies in RAM, clear of the kernel."""
    low, size = number(state, Key.KERNEL_ADDR), number(state, Key.KERNEL_SIZE)
    ram = ram_of(handoff.memmap)
    for start, end, _ in handoff.modules:
        if start % x86.PAGE or (start != end and not inside(ram, start, end)):
            yield f"a module at {start:#x} is not in RAM, or not aligned to a page"
    for name, (start, length) in handoff.structures().items():
        end = start + length
        if not inside(ram, start, end):
            yield f"the {name} at {start:#x} is not in RAM"
        if start < low + size and low < end:
            yield f"the {name} at {start:#x} lies in the kernel"
