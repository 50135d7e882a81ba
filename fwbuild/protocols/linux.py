"""Linux's 32-bit boot protocol: a bzImage of protocol 2.12 or later, entered with boot_params in
ESI.

Source: Linux, Documentation/arch/x86/boot.rst and zero-page.rst.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fwbuild.abi import e820, linux_boot, offsets, x86
from fwbuild.abi.fw_cfg import Key
from fwbuild.abi.linux_boot import BOOT_PARAMS, XLoadFlag
from fwbuild.emulator.state import ReadMemory, State
from fwbuild.firmware.options import BootProtocol
from fwbuild.kernel.bzimage import Bzimage
from fwbuild.protocols import tables
from fwbuild.protocols.bzimage import ENTRY_32, BzimageProtocol, initrd_of
from fwbuild.protocols.checks import (
    clear_flags,
    command_line,
    flat_segments,
    holds,
    inside,
    number,
    protected_mode,
    ram_of,
)
from fwbuild.protocols.protocol import Handoff, numbers, read_string
from fwbuild.protocols.report import Report
from fwbuild.sizes import align_up

BOOT_CS, BOOT_DS = 0x10, 0x18
# Header fields that a loader writes; the kernel's own must arrive as they are in the file.
LOADERS_OWN = frozenset(
    "type_of_loader loadflags code32_start ramdisk_image ramdisk_size heap_end_ptr cmd_line_ptr "
    "setup_data vid_mode".split()
)
OFFSETS = offsets(linux_boot.SETUP_HEADER)
SETUP_DATA_MAX = 16  # items of the list that are followed
SETUP_DATA_BYTES = 1 << 22  # of all of them; a device tree takes 2 MiB at most
FILLED = frozenset("acpi_rsdp_addr e820_entries e820_table hdr".split())


@dataclass(frozen=True, kw_only=True)
class LinuxHandoff(Handoff):
    """boot_params and what it points at, parsed by abi.linux_boot's declarations. `setup_data`
    are (type, bytes) of each item of the list."""

    boot_params: Any
    setup_data: list[tuple[int, bytes]]

    def more(self) -> dict[str, Any]:
        return {
            "header": numbers(self.boot_params.hdr),
            "acpi_rsdp_addr": self.boot_params.acpi_rsdp_addr,
            "setup_data": [{"type": kind, "data": data.hex()} for kind, data in self.setup_data],
        }

    def heading(self) -> tuple[str, str]:
        return "boot_params", f"protocol {self.boot_params.hdr.version:#x}"

    @property
    def rsdp(self) -> int:
        return int(self.boot_params.acpi_rsdp_addr)

    def areas(self) -> dict[str, tuple[int, int]]:
        header = self.boot_params.hdr
        return {
            "boot_params": (self.address, BOOT_PARAMS.sizeof()),
            "command line": (header.cmd_line_ptr, len(self.cmdline) + 1),
            "initrd": (header.ramdisk_image, header.ramdisk_size),
            "setup_data": (header.setup_data, int(bool(header.setup_data))),
        }

    def pieces(self) -> list[tuple[str, str]]:
        data = [("setup_data", f"type {k}, {len(d)} bytes") for k, d in self.setup_data]
        return [*initrd_of(self.boot_params.hdr), *data]


class Linux(BzimageProtocol):
    name = BootProtocol.LINUX
    title = "Linux boot protocol"
    source = "Linux, Documentation/arch/x86/boot.rst and zero-page.rst"
    pointer = "esi"
    nowhere = "GDT or boot_params"
    entry = ENTRY_32

    def takes(self, version: int) -> bool:
        return version >= linux_boot.PROTOCOL_MODERN

    def judge_file(self, image: Bzimage, found: Report) -> None:
        found.protocol = self.name

    def read(self, state: State) -> LinuxHandoff:
        return LinuxHandoff(**read_boot_params(state, state.registers[self.pointer]))

    def registers(self, state: State) -> Iterator[str]:
        wanted = {"cs": BOOT_CS, "ds": BOOT_DS, "es": BOOT_DS, "ss": BOOT_DS}
        for name, value in (wanted | dict.fromkeys(("ebp", "edi", "ebx"), 0)).items():
            if state.registers[name] != value:
                yield f"{name.upper()} is {state.registers[name]:#x}, not {value:#x}"
        yield from protected_mode(state)
        yield from clear_flags(state, x86.Eflags.IF)
        yield from flat_segments(state)

    def handed(self, state: State, handoff: LinuxHandoff) -> Iterator[str]:
        yield from empty_fields(handoff, _header_end(state))
        yield from _header(state, handoff)
        yield from tables.memmap_problems(state, handoff.memmap, e820.EBDA)
        yield from tables.table_problems(state, handoff.memmap, handoff.boot_params.acpi_rsdp_addr)
        yield from command_line(state, handoff)
        yield from _contents(state, handoff)
        yield from _places(state, handoff)


LINUX = Linux()


def read_boot_params(state: State, address: int) -> dict[str, Any]:
    """The fields of a LinuxHandoff, by boot_params at an address."""
    params = BOOT_PARAMS.parse(state.read(address, BOOT_PARAMS.sizeof()))
    return {
        "address": address,
        "boot_params": params,
        "memmap": params.e820_table[: min(params.e820_entries, linux_boot.E820_MAX)],
        "cmdline": read_string(state.read, params.hdr.cmd_line_ptr),
        "setup_data": _setup_list(state.read, params.hdr.setup_data),
    }


def empty_fields(handoff: LinuxHandoff, header_end: int = 0) -> Iterator[str]:
    """Everything of boot_params that no loader fills is zero, but for what the kernel's header
    reaches: it ends at that offset, and has its own bytes up to there."""
    page = BOOT_PARAMS.parse(BOOT_PARAMS.build(handoff.boot_params))
    empty = BOOT_PARAMS.parse(bytes(BOOT_PARAMS.sizeof()))
    places = offsets(BOOT_PARAMS)
    for name in (field.name for field in BOOT_PARAMS.subcons if field.name):
        is_header = linux_boot.HEADER_OFFSET < places[name] < header_end
        if name not in FILLED and not is_header and page[name] != empty[name]:
            yield f"boot_params.{name} is not 0"
    for entry in page.e820_table[page.e820_entries :]:
        if entry.type or entry.size:
            yield "boot_params.e820_table holds more than e820_entries says"
            return


def _header_end(state: State) -> int:
    """The offset where the kernel's header ends, in its file and in boot_params. Source: boot.rst,
    "Details of Header Fields"."""
    return linux_boot.HEADER_JUMP_BASE + int(state.items[Key.SETUP_DATA][OFFSETS["jump"] + 1])


def _header(state: State, handoff: LinuxHandoff) -> Iterator[str]:
    header = handoff.boot_params.hdr
    setup = state.items[Key.SETUP_DATA]
    given = linux_boot.SETUP_HEADER.parse(setup[: _header_end(state)].ljust(len(setup), b"\0"))
    for name in OFFSETS.keys() - LOADERS_OWN:
        if header[name] != given[name]:
            yield f"header: {name} is {header[name]!r}, the kernel's is {given[name]!r}"
    if not header.type_of_loader:
        yield "header: type_of_loader is 0: Linux ignores the initrd"
    if given.loadflags & ~header.loadflags & linux_boot.LoadFlag.LOADED_HIGH:
        yield "header: loadflags lost LOADED_HIGH"
    if header.vid_mode != given.vid_mode:
        yield f"header: vid_mode is {header.vid_mode:#x}, the host's is {given.vid_mode:#x}"
    if header.code32_start != state.registers["eip"]:
        yield f"header: code32_start is {header.code32_start:#x}, not where the kernel is entered"
    limit = header.initrd_addr_max
    if header.xloadflags & XLoadFlag.CAN_BE_LOADED_ABOVE_4G:
        limit = (1 << 32) - 1
    if header.ramdisk_size and header.ramdisk_image + header.ramdisk_size - 1 > limit:
        yield f"the initrd ends above {limit:#x}"
    if len(handoff.cmdline) > header.cmdline_size:
        yield f"the command line is longer than {header.cmdline_size}"


def _contents(state: State, handoff: LinuxHandoff) -> Iterator[str]:
    header = handoff.boot_params.hdr
    initrd = state.items.get(Key.INITRD_DATA, b"")
    if header.ramdisk_size != len(initrd):
        yield f"the initrd has {header.ramdisk_size} bytes, not {len(initrd)}"
    elif not holds(state, header.ramdisk_image, initrd):
        yield "the initrd's contents are damaged"
    kernel = state.items[Key.KERNEL_DATA]
    if not holds(state, header.code32_start, kernel):
        yield "the kernel is damaged"
    if handoff.setup_data != (expected := host_setup_data(state)):
        yield f"setup_data is {handoff.setup_data}, the host's is {expected}"


def host_setup_data(state: State) -> list[tuple[int, bytes]]:
    """The list that QEMU appended to the kernel, its addresses relative to the kernel's."""
    kernel, base = state.items[Key.KERNEL_DATA], number(state, Key.KERNEL_ADDR)

    def read(address: int, size: int) -> bytes:
        if not base <= address <= base + len(kernel) - size:
            raise MemoryError(f"the host's setup_data at {address:#x} lies outside the kernel")
        return kernel[address - base : address - base + size]

    first = linux_boot.SETUP_HEADER.parse(state.items[Key.SETUP_DATA]).setup_data
    return _setup_list(read, first)


def _setup_list(read: ReadMemory, at: int) -> list[tuple[int, bytes]]:
    """(type, bytes) of each item of the list. Raises MemoryError for a list without an end, and
    for an item that is absurd."""
    found: list[tuple[int, bytes]] = []
    size, left = linux_boot.SETUP_DATA.sizeof(), SETUP_DATA_BYTES
    while at:
        if len(found) == SETUP_DATA_MAX or at >= e820.FOUR_GIB:
            raise MemoryError(f"setup_data goes on at {at:#x} after {len(found)} items")
        item = linux_boot.SETUP_DATA.parse(read(at, size))
        left -= item.len
        if left < 0:
            raise MemoryError(f"setup_data of {item.len} bytes at {at:#x}")
        found.append((item.type, read(at + size, item.len)))
        at = item.next
    return found


def runtime_area(header: Any) -> tuple[int, int]:
    """[start, end) of what the kernel uses before it looks at its memory map, by boot.rst."""
    start = header.pref_address
    if header.relocatable_kernel:
        load = max(header.code32_start, header.pref_address)
        start = align_up(load, header.kernel_alignment)
    return start, start + header.init_size


def _places(state: State, handoff: LinuxHandoff) -> Iterator[str]:
    """Nothing handed over lies where the kernel unpacks itself, and all of it lies in RAM."""
    header = handoff.boot_params.hdr
    start, end = runtime_area(header)
    areas = handoff.areas() | {"GDT": (state.gdtr[0], state.gdtr[1] + 1)}
    ram = ram_of(handoff.memmap)
    for name, (address, size) in areas.items():
        if size and address < end and start < address + size:
            yield f"the {name} at {address:#x} lies where the kernel runs"
        if size and name != "GDT" and not inside(ram, address, address + 1):
            yield f"the {name} at {address:#x} is not in RAM"
    if not inside(ram, start, end):
        yield f"the kernel runs at {start:#x} to {end:#x}, which is not RAM"
