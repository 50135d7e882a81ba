"""A bzImage of an older protocol, or what is made like one: entered at its setup code, in real
mode, with a BIOS to call.

Source: Linux, Documentation/arch/x86/boot.rst, "Running the Kernel"; IBM PC/AT Technical
Reference (vectors and data area).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fwbuild.abi import bios, e820, linux_boot, offsets, x86
from fwbuild.abi.bios import Vector
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator.state import ReadMemory, State
from fwbuild.firmware import layout, work
from fwbuild.firmware.options import BootProtocol
from fwbuild.kernel.bzimage import Bzimage
from fwbuild.protocols import tables
from fwbuild.protocols.bzimage import ENTRY_16, BzimageProtocol, initrd_of
from fwbuild.protocols.checks import clear_flags, command_line, holds, number, real_mode_segments
from fwbuild.protocols.protocol import Handoff, numbers, read_string
from fwbuild.protocols.report import Problem, Report

SEGMENT = 0x10000  # bytes: the setup code's stack and heap lie in its own
SERVED = (
    Vector.TIMER,
    Vector.VIDEO,
    Vector.EQUIPMENT,
    Vector.MEMORY,
    Vector.DISK,
    Vector.SYSTEM,
    Vector.KEYS,
    Vector.TIME,
)

EMPTY = (0, 0)  # a vector that leads nowhere
# Pointers that the loader fills. SeaBIOS's option ROM and qboot place the initrd themselves.
FILLED = ("cmd_line_ptr", "ramdisk_image")


@dataclass(frozen=True, kw_only=True)
class SetupHandoff(Handoff):
    """The setup code's header at `address`, the BIOS's vectors (segment, offset) and data area.
    `memmap` is the map that this firmware's INT 15h tells; it is empty for another BIOS, whose
    map nobody knows but by the call."""

    header: Any
    vectors: list[tuple[int, int]]
    bda: Any

    def more(self) -> dict[str, Any]:
        return {"header": numbers(self.header), "bda": numbers(self.bda)}

    def heading(self) -> tuple[str, str]:
        return "setup code", f"protocol {self.header.version:#x}"

    def areas(self) -> dict[str, tuple[int, int]]:
        header = self.header
        setup = (header.setup_sects + 1) * linux_boot.SECTOR
        return {
            "setup code": (self.address, setup),
            "command line": (header.cmd_line_ptr, len(self.cmdline) + 1),
            "initrd": (header.ramdisk_image, header.ramdisk_size),
        }

    def pieces(self) -> list[tuple[str, str]]:
        return initrd_of(self.header)


class Linux16(BzimageProtocol):
    name = BootProtocol.LINUX16
    title = "16-bit boot protocol"
    source = "Linux, Documentation/arch/x86/boot.rst, 'Running the Kernel'"
    pointer = "ds"
    nowhere = "setup code or the command line"
    entry = ENTRY_16

    def takes(self, version: int) -> bool:
        return version < linux_boot.PROTOCOL_MODERN

    def judge_file(self, image: Bzimage, found: Report) -> None:
        header = image.header
        if header.version < linux_boot.PROTOCOL_CMDLINE:
            found.stops("KERNEL_KIND", f"{header.version:#x}")
        elif not header.loadflags & linux_boot.LoadFlag.LOADED_HIGH:
            what = "a zImage, which is loaded below 1 MiB"
            found.problems.append(Problem(what, "build a bzImage"))
        else:
            found.protocol = self.name
            if image.setup_size > linux_boot.SETUP_SIZE_MAX:
                found.stops("SETUP_SIZE", f"{image.setup_size:#x}")

    def read(self, state: State) -> SetupHandoff:
        address = state.registers[self.pointer] << 4
        header = linux_boot.SETUP_HEADER.parse(
            state.read(address, linux_boot.SETUP_HEADER.sizeof())
        )
        words = state.read(0, 4 * bios.VECTORS)
        pairs = [int.from_bytes(words[i : i + 2], "little") for i in range(0, len(words), 2)]
        vectors = list(zip(pairs[1::2], pairs[::2], strict=True))
        return SetupHandoff(
            address=address,
            header=header,
            vectors=vectors,
            bda=bios.BDA.parse(state.read(bios.BDA_BASE, bios.BDA.sizeof())),
            memmap=_memmap(state.read, *vectors[Vector.SYSTEM]),
            cmdline=read_string(state.read, header.cmd_line_ptr),
        )

    def registers(self, state: State) -> Iterator[str]:
        registers = state.registers
        if registers["cr0"] & (x86.Cr0.PE | x86.Cr0.PG):
            yield f"CR0 is {registers['cr0']:#x}: not in real mode"
        yield from clear_flags(state, x86.Eflags.IF)
        if (registers["cs"], registers["eip"]) != (registers["ds"] + (linux_boot.SECTOR >> 4), 0):
            yield f"entered at {registers['cs']:#x}:{registers['eip']:#x}, not DS + 0x20:0"
        for name in ("es", "fs", "gs", "ss"):
            if registers[name] != registers["ds"]:
                yield f"{name.upper()} is {registers[name]:#x}, DS is {registers['ds']:#x}"
        yield from real_mode_segments(state)

    def handed(self, state: State, handoff: SetupHandoff) -> Iterator[str]:
        yield from _bios(handoff, state.own)
        if handoff.memmap:
            low_end = handoff.bda.base_memory << 10
            yield from tables.memmap_problems(state, handoff.memmap, low_end)
        yield from tables.table_problems(state, handoff.memmap, tables.find_rsdp(state))
        yield from command_line(state, handoff)
        yield from _contents(state, handoff)


LINUX16 = Linux16()


def _memmap(read: ReadMemory, segment: int, offset: int) -> list[Any]:
    """The map that INT 15h tells, if the call leads to this firmware."""
    if not layout.BIOS.base <= segment * 16 + offset < layout.BIOS.end:
        return []
    data = work.BIOS_DATA.parse(read(layout.BIOS.base, work.BIOS_DATA.sizeof()))
    count = min(data.memmap_size // e820.ENTRY.sizeof(), len(data.memmap))
    return list(data.memmap[:count])


def _bios(handoff: SetupHandoff, own: bool) -> Iterator[str]:
    """Another firmware (not `own`) may leave a vector that it does not serve empty: those of
    the user, 0x60 to 0x66, are so in IBM's BIOS as well."""
    header, bda = handoff.header, handoff.bda
    low_end = bda.base_memory << 10
    idle = handoff.vectors[0]
    for vector, (segment, offset) in enumerate(handoff.vectors):
        empty = (segment, offset) == EMPTY and not own
        if not (empty or low_end <= segment * 16 + offset < e820.EXTENDED):
            yield f"vector {vector:#x} leads to {segment:#x}:{offset:#x}"
    for served in SERVED:
        if handoff.vectors[served] in (idle, EMPTY):
            yield f"nobody serves INT {served:#x}"
    if not bios.BASE_MEMORY_MIN <= low_end <= e820.EBDA:
        yield f"data area: {bda.base_memory} KiB of conventional memory"
    if not low_end <= bda.ebda_segment << 4 < e820.VGA:
        yield f"data area: the EBDA is at segment {bda.ebda_segment:#x}"
    if header.heap_end_ptr + linux_boot.SECTOR > SEGMENT:
        yield f"the heap's end {header.heap_end_ptr:#x} lies outside the setup code's segment"


def _contents(state: State, handoff: SetupHandoff) -> Iterator[str]:
    items = state.items
    if handoff.address != number(state, Key.SETUP_ADDR):
        yield f"the setup code is at {handoff.address:#x}, not where the host wants it"
    setup = bytearray(items[Key.SETUP_DATA])
    for name in FILLED:
        at = offsets(linux_boot.SETUP_HEADER)[name]
        setup[at : at + 4] = handoff.header[name].to_bytes(4, "little")
    pieces = {
        "setup code": (handoff.address, bytes(setup)),
        "kernel": (number(state, Key.KERNEL_ADDR), items[Key.KERNEL_DATA]),
        "initrd": (handoff.header.ramdisk_image, items.get(Key.INITRD_DATA, b"")),
    }
    for name, (address, data) in pieces.items():
        if not holds(state, address, data):
            yield f"the {name} is damaged"
    if handoff.header.ramdisk_size != len(pieces["initrd"][1]):
        yield f"the initrd has {handoff.header.ramdisk_size} bytes"
