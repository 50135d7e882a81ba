"""Holds the state at a bzImage's 32-bit entry against Linux's boot protocol.

Source: Linux, Documentation/arch/x86/boot.rst and zero-page.rst.
"""

from collections.abc import Iterator
from typing import Any

from fwbuild.abi import e820, linux_boot, offsets, x86
from fwbuild.abi.fw_cfg import Key
from fwbuild.abi.linux_boot import BOOT_PARAMS, XLoadFlag
from fwbuild.emulator.handoff_linux import LinuxHandoff, read_linux_handoff
from fwbuild.emulator.judge import flat_segments
from fwbuild.emulator.judge_platform import memmap_problems, table_problems
from fwbuild.emulator.machine import Machine, Outcome

BOOT_CS, BOOT_DS = 0x10, 0x18
# Header fields that a loader writes; the kernel's own must arrive as they are in the file.
LOADERS_OWN = frozenset(
    "type_of_loader loadflags code32_start ramdisk_image ramdisk_size heap_end_ptr cmd_line_ptr "
    "setup_data vid_mode".split()
)
OFFSETS = offsets(linux_boot.SETUP_HEADER)
FILLED = frozenset("acpi_rsdp_addr e820_entries e820_table hdr".split())


def judge_linux(machine: Machine, outcome: Outcome) -> list[str]:
    """Each departure from the protocol in words; none when all is well."""
    if outcome.kind != "handoff":
        return [f"the kernel was not entered: {outcome.kind} {outcome.detail}".strip()]
    problems = [*_registers(outcome)]
    try:
        problems += flat_segments(machine, outcome)
        handoff = read_linux_handoff(machine.read, outcome.registers["esi"])
    except MemoryError as error:
        return [*problems, f"the GDT or boot_params points nowhere: {error}"]
    return [
        *problems,
        *_boot_params(handoff),
        *_header(machine, handoff),
        *memmap_problems(machine, handoff.memmap),
        *table_problems(machine, handoff.memmap, handoff.boot_params.acpi_rsdp_addr),
        *_contents(machine, handoff),
        *_places(handoff, outcome),
    ]


def _registers(outcome: Outcome) -> Iterator[str]:
    registers = outcome.registers
    wanted = {
        "cs": BOOT_CS,
        "ds": BOOT_DS,
        "es": BOOT_DS,
        "ss": BOOT_DS,
        "ebp": 0,
        "edi": 0,
        "ebx": 0,
    }
    for name, value in wanted.items():
        if registers[name] != value:
            yield f"{name.upper()} is {registers[name]:#x}, not {value:#x}"
    if registers["cr0"] & (x86.Cr0.PE | x86.Cr0.PG) != x86.Cr0.PE:
        yield f"CR0 is {registers['cr0']:#x}: no protected mode without paging"
    if registers["eflags"] & x86.Eflags.IF:
        yield "EFLAGS.IF is set"


def _boot_params(handoff: LinuxHandoff) -> Iterator[str]:
    """Everything that the loader does not fill is zero."""
    page = BOOT_PARAMS.parse(BOOT_PARAMS.build(handoff.boot_params))
    empty = BOOT_PARAMS.parse(bytes(BOOT_PARAMS.sizeof()))
    for field in BOOT_PARAMS.subcons:
        if field.name and field.name not in FILLED and page[field.name] != empty[field.name]:
            yield f"boot_params.{field.name} is not 0"
    for entry in page.e820_table[page.e820_entries :]:
        if entry.type or entry.size:
            yield "boot_params.e820_table holds more than e820_entries says"
            return


def _header(machine: Machine, handoff: LinuxHandoff) -> Iterator[str]:
    header = handoff.boot_params.hdr
    items = machine.fw_cfg.items
    setup = items[Key.SETUP_DATA]
    end = linux_boot.HEADER_JUMP_BASE + setup[OFFSETS["jump"] + 1]
    given = linux_boot.SETUP_HEADER.parse(setup[:end].ljust(len(setup), b"\0"))
    for name in OFFSETS.keys() - LOADERS_OWN:
        if header[name] != given[name]:
            yield f"header: {name} is {header[name]!r}, the kernel's is {given[name]!r}"
    if not header.type_of_loader:
        yield "header: type_of_loader is 0: Linux ignores the initrd"
    if not header.loadflags & linux_boot.LoadFlag.LOADED_HIGH:
        yield "header: loadflags lost LOADED_HIGH"
    if header.vid_mode != given.vid_mode:
        yield f"header: vid_mode is {header.vid_mode:#x}, the host's is {given.vid_mode:#x}"
    if header.code32_start != machine.outcome.registers["eip"]:
        yield f"header: code32_start is {header.code32_start:#x}, not where the kernel is entered"
    limit = header.initrd_addr_max
    if header.xloadflags & XLoadFlag.CAN_BE_LOADED_ABOVE_4G:
        limit = (1 << 32) - 1
    if header.ramdisk_size and header.ramdisk_image + header.ramdisk_size - 1 > limit:
        yield f"the initrd ends above {limit:#x}"
    if len(handoff.cmdline) > header.cmdline_size:
        yield f"the command line is longer than {header.cmdline_size}"


def _contents(machine: Machine, handoff: LinuxHandoff) -> Iterator[str]:
    items = machine.fw_cfg.items
    header = handoff.boot_params.hdr
    cmdline = items.get(Key.CMDLINE_DATA, b"").rstrip(b"\0")
    if handoff.cmdline != cmdline:
        yield f"the command line is {handoff.cmdline!r}, not {cmdline!r}"
    initrd = items.get(Key.INITRD_DATA, b"")
    if header.ramdisk_size != len(initrd):
        yield f"the initrd has {header.ramdisk_size} bytes, not {len(initrd)}"
    elif initrd and machine.read(header.ramdisk_image, len(initrd)) != initrd:
        yield "the initrd's contents are damaged"
    kernel = items[Key.KERNEL_DATA]
    if machine.read(header.code32_start, len(kernel)) != kernel:
        yield "the kernel is damaged"
    if handoff.setup_data != (expected := _host_setup_data(items)):
        yield f"setup_data is {handoff.setup_data}, the host's is {expected}"


def _host_setup_data(items: dict[int, bytes]) -> list[tuple[int, bytes]]:
    """The list that QEMU appended to the kernel, its addresses relative to the kernel's."""
    kernel, base = items[Key.KERNEL_DATA], int.from_bytes(items[Key.KERNEL_ADDR], "little")
    at, found = linux_boot.SETUP_HEADER.parse(items[Key.SETUP_DATA]).setup_data, []
    size = linux_boot.SETUP_DATA.sizeof()
    while at:
        item = linux_boot.SETUP_DATA.parse(kernel[at - base :])
        found.append((item.type, kernel[at - base + size :][: item.len]))
        at = item.next
    return found


def runtime_area(header: Any) -> tuple[int, int]:
    """[start, end) of what the kernel uses before it looks at its memory map, by boot.rst."""
    start = header.pref_address
    if header.relocatable_kernel:
        load = max(header.code32_start, header.pref_address)
        start = -(-load // header.kernel_alignment) * header.kernel_alignment
    return start, start + header.init_size


def _places(handoff: LinuxHandoff, outcome: Outcome) -> Iterator[str]:
    """Nothing handed over lies where the kernel unpacks itself, and all of it lies in RAM."""
    header = handoff.boot_params.hdr
    start, end = runtime_area(header)
    areas = {
        "boot_params": (handoff.address, BOOT_PARAMS.sizeof()),
        "GDT": (outcome.gdtr[0], outcome.gdtr[1] + 1),
        "command line": (header.cmd_line_ptr, len(handoff.cmdline) + 1),
        "initrd": (header.ramdisk_image, header.ramdisk_size),
        "setup_data": (header.setup_data, bool(header.setup_data)),
    }
    ram = [(m.addr, m.addr + m.size) for m in handoff.memmap if m.type == e820.Type.RAM]
    for name, (address, size) in areas.items():
        if size and address < end and start < address + size:
            yield f"the {name} at {address:#x} lies where the kernel runs"
        if size and name != "GDT" and not any(a <= address < b for a, b in ram):
            yield f"the {name} at {address:#x} is not in RAM"
    if not any(a <= start and end <= b for a, b in ram):
        yield f"the kernel runs at {start:#x} to {end:#x}, which is not RAM"
