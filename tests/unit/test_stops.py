"""Every reason to stop: the code, the line, and nothing written outside the firmware's areas."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from fwbuild import protocols
from fwbuild.abi import e820, linux_boot, offsets
from fwbuild.abi.fw_cfg import Key
from fwbuild.abi.x86 import PAGE
from fwbuild.emulator import recording
from fwbuild.emulator.fw_cfg import directory
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.recording import PciFunction
from fwbuild.firmware import file_names, layout, pci_plan, stop_codes
from fwbuild.guest import Guest
from fwbuild.image.build import Image, build_image
from fwbuild.payloads.test_kernel import (
    build_test_bzimage,
    build_test_bzimage16,
    build_test_kernel,
    build_test_multiboot,
)
from fwbuild.sizes import GIB, MIB
from tests.support.faults import broken
from tests.support.files import claim, put_files, put_sizes
from tests.support.pci_functions import MEMORY, bridge, endpoint

Keys = dict[int, int]


@dataclass
class Case:
    """A stop's name, what to change in fw_cfg (number items, the map), the detail printed."""

    stop: str
    detail: int
    keys: Keys = field(default_factory=dict)
    memmap: list[tuple[int, int, int]] | None = None
    edit: Callable[[Machine], None] | None = None
    machine: str = "microvm"
    pci: list[PciFunction] = field(default_factory=list)  # besides the chipset's
    kernel: Callable[[], bytes] = build_test_kernel
    template: str = "universal"


def initrd(address: int, size: int) -> Keys:
    return {Key.INITRD_ADDR: address, Key.INITRD_SIZE: size}


def refuse_dma(machine: Machine) -> None:
    """A device that reports an error for each transfer."""
    machine.fw_cfg._execute = lambda descriptor: False  # type: ignore[method-assign]


def take_ram(machine: Machine) -> None:
    """Leave 8 KiB, the least that QEMU gives, and what lies from 1 MiB on."""
    machine.uc.mem_unmap(2 * PAGE, e820.VGA - 2 * PAGE)


def shorten_e820(machine: Machine) -> None:
    put_sizes(machine, {file_names.E820: 30})


def remove_e820(machine: Machine) -> None:
    machine.fw_cfg.items[Key.FILE_DIR] = directory(
        [f for f in machine.recording.files if f.name != file_names.E820]
    )


def remove_device(machine: Machine) -> None:
    for port in machine.fw_cfg.ports:
        del machine.devices[port]


def patch_setup(machine: Machine, field: str, value: bytes) -> None:
    """Let fw_cfg hold another header than the one that QEMU's loader took."""
    setup = bytearray(machine.fw_cfg.items[Key.SETUP_DATA])
    at = offsets(linux_boot.SETUP_HEADER)[field]
    setup[at : at + len(value)] = value
    machine.fw_cfg.items[Key.SETUP_DATA] = bytes(setup)


def extra_root(machine: Machine) -> None:
    put_files(machine, {file_names.EXTRA_ROOTS: (1).to_bytes(8, "little")})


BARS = 6
WINDOWS = 3  # of a bridge: I/O, memory, prefetchable memory
BEHIND = 24  # functions behind each bridge; sorting their BARs takes the square of them


def devices(*path: int) -> list[PciFunction]:
    """Devices of eight functions with six BARs each behind a bridge."""
    bars = dict.fromkeys(range(BARS), (MEMORY, 16))
    return [endpoint((*path, devfn), bars, multifunction=True) for devfn in range(BEHIND)]


def crowd() -> list[PciFunction]:
    """A bridge in every slot that is free."""
    paths = [(d << 3,) for d in range(2, 32)]
    return [f for path in paths for f in (bridge(path), *devices(*path))]


def one_too_many() -> int:
    """Where one of those buses no longer fits the tables: the function, or its BAR."""
    function, resource, bus, window = (
        s.sizeof() for s in (pci_plan.FUNCTION, pci_plan.RESOURCE, pci_plan.BUS, pci_plan.WINDOW)
    )
    room = layout.region("pci").size - pci_plan.PLAN.sizeof()
    room -= function + resource  # the IDE controller and its BAR
    each = function + BARS * resource
    begin = function + bus + WINDOWS * window  # a bridge, before what is behind it
    before, room = divmod(room, begin + BEHIND * each)
    fit, rest = divmod(room - begin, each)
    assert 0 < before < 29 and 0 < fit < BEHIND
    bars = (rest - function) // resource
    register = 0 if rest < function else 0x10 + 4 * bars
    return int(0x80000000 + (before + 1 << 16) + (fit << 8) + register)


def bridges(count: int) -> list[PciFunction]:
    """Bridges, the functions of one device after the other."""
    return [bridge((16 + i,), multifunction=True) for i in range(count)]


LOW_MULTIBOOT = partial(build_test_multiboot, base=0x8000)
RAM, RESERVED = e820.Type.RAM, e820.Type.RESERVED
TOP = 1 << 64
LOW = (0, 512 * MIB, RAM)
SCRIPT_MAX = layout.region("script").size
CASES = {
    "no kernel": Case("NO_KERNEL", 0, {Key.KERNEL_SIZE: 0}),
    "no bzImage though it has no entry": Case("KERNEL_KIND", 0, {Key.KERNEL_ENTRY: 0}),
    "no magic, but a version": Case(
        "KERNEL_KIND", 0, edit=lambda m: patch_setup(m, "header", b"HdrX"),
        kernel=build_test_bzimage),
    "ancient bzImage": Case(
        "KERNEL_KIND", 0x201,
        edit=lambda m: patch_setup(m, "version", b"\x01\x02"), kernel=build_test_bzimage16),
    "bzImage to be loaded low": Case(
        "KERNEL_KIND", 0x207, edit=lambda m: patch_setup(m, "loadflags", b"\0"),
        kernel=build_test_bzimage16),
    "ancient bzImage, another template": Case(
        "KERNEL_KIND", 0x207, kernel=build_test_bzimage16, template="linux"),
    "multiboot, another template": Case(
        "KERNEL_KIND", 0x100020, {Key.KERNEL_ENTRY: 0x100020},
        kernel=build_test_multiboot, template="linux"),
    "kernel over the firmware, another template": Case(
        "KERNEL_OVERLAP", 0x8000,
        {Key.KERNEL_ADDR: 0x8000, Key.KERNEL_SIZE: 0x10000, Key.KERNEL_ENTRY: 0x8000},
        template="linux"),
    "setup code of more than 32 KiB": Case(
        "SETUP_SIZE", 0x8001, {Key.SETUP_SIZE: 0x8001}, kernel=build_test_bzimage16),
    "setup code that ends before its entry's sector": Case(
        "SETUP_SIZE", 0x3FF, {Key.SETUP_SIZE: 0x3FF}, kernel=build_test_bzimage16),
    "no setup code": Case("SETUP_SIZE", 0, {Key.SETUP_SIZE: 0}, kernel=build_test_bzimage16),
    "old bzImage in low memory": Case(
        "KERNEL_OVERLAP", 0x90000, {Key.KERNEL_ADDR: 0x90000}, kernel=build_test_bzimage16),
    "old bzImage's initrd in low memory": Case(
        "INITRD_OVERLAP", 0x90000, initrd(0x90000, 1), kernel=build_test_bzimage16),
    "old bzImage outside RAM": Case(
        "KERNEL_RANGE", 0x100000, {Key.KERNEL_SIZE: 512 * MIB}, kernel=build_test_bzimage16),
    "multiboot over the vectors": Case(
        "KERNEL_OVERLAP", layout.MULTIBOOT_LOW - 1,
        dict.fromkeys((Key.KERNEL_ADDR, Key.KERNEL_ENTRY), layout.MULTIBOOT_LOW - 1),
        kernel=LOW_MULTIBOOT),
    "multiboot over the firmware": Case(
        "KERNEL_OVERLAP", 0x8000, {Key.KERNEL_SIZE: layout.MULTIBOOT_HIGH - 0x8000 + 1},
        kernel=LOW_MULTIBOOT),
    "multiboot in the hole": Case(
        "KERNEL_RANGE", 0x9FFFF, {Key.KERNEL_ADDR: 0x9FFFF}, kernel=LOW_MULTIBOOT),
    "multiboot outside RAM": Case(
        "KERNEL_RANGE", 0x100000, {Key.KERNEL_SIZE: 512 * MIB}, kernel=build_test_multiboot),
    "multiboot's entry": Case(
        "KERNEL_ENTRY", 0x100000, {Key.KERNEL_ENTRY: 0xFFFFF}, kernel=build_test_multiboot),
    "kernel above RAM": Case("KERNEL_RANGE", 0x100000, {Key.KERNEL_SIZE: 512 * MIB}),
    "kernel above RAM, at the place of RAM above 4 GiB": Case(
        "KERNEL_RANGE", 0x20000000, memmap=[LOW, (4 * GIB, 2 * GIB, RAM)],
        keys={Key.KERNEL_ADDR: 0x20000000, Key.KERNEL_ENTRY: 0x20000000}),
    "kernel wraps": Case("KERNEL_RANGE", 0x100000, {Key.KERNEL_SIZE: 0xFFFFFFFF}),
    "kernel in the hole": Case("KERNEL_RANGE", 0xA0000, {Key.KERNEL_ADDR: 0xA0000}),
    "kernel over the firmware": Case(
        "KERNEL_OVERLAP", 0x8000,
        {Key.KERNEL_ADDR: 0x8000, Key.KERNEL_SIZE: 0x10000, Key.KERNEL_ENTRY: 0x8000}),
    "entry below": Case("KERNEL_ENTRY", 0x100000, {Key.KERNEL_ENTRY: 0xFFFFF}),
    "entry behind": Case("KERNEL_ENTRY", 0x100000, {Key.KERNEL_ENTRY: 0x104000}),
    "command line of 64 KiB": Case("CMDLINE_SIZE", 0xFFFD, {Key.CMDLINE_SIZE: 0xFFFD}),
    "command line of 4 GiB": Case("CMDLINE_SIZE", 0xFFFFFFFF, {Key.CMDLINE_SIZE: 0xFFFFFFFF}),
    "initrd outside": Case("INITRD_RANGE", 0x20000000, initrd(0x20000000, 1)),
    "initrd too long": Case("INITRD_RANGE", 0x1FFFF000, initrd(0x1FFFF000, 0x1001)),
    "initrd in what is reserved": Case(
        "INITRD_RANGE", 0x8000000, initrd(0x8000000, 1),
        memmap=[(0, 0x8000000, RAM), (0x8000000, 0x8000000, RESERVED)]),
    "initrd wraps": Case("INITRD_RANGE", 0xFFFFF000, initrd(0xFFFFF000, 0x2000)),
    "initrd over the firmware": Case("INITRD_OVERLAP", 0x2000, initrd(0x2000, 0x1000)),
    "initrd inside the kernel": Case("INITRD_OVERLAP", 0x101000, initrd(0x101000, 16)),
    "initrd over the kernel's end": Case("INITRD_OVERLAP", 0x103FFF, initrd(0x103FFF, 0x1000)),
    "empty e820": Case("NO_E820", 0, memmap=[]),
    "no e820": Case("NO_E820", 0, edit=remove_e820),
    "a script as long as its region": Case(
        "ACPI_SCRIPT_SIZE", SCRIPT_MAX,
        edit=lambda m: put_sizes(m, {file_names.TABLE_LOADER: SCRIPT_MAX})),
    "half a script": Case(
        "ACPI_SCRIPT_SIZE", 100,
        edit=lambda m: put_files(m, {file_names.TABLE_LOADER: bytes(100)})),
    "odd script": Case(
        "ACPI_SCRIPT", 0, edit=lambda m: put_files(m, {file_names.TABLE_LOADER: b"\x09" * 128})),
    "no room": Case(
        "NO_ROOM", 0x20000000, edit=lambda m: put_sizes(m, {"etc/acpi/tables": 0x20000000})),
    "odd anchor": Case(
        "SMBIOS_ANCHOR", 32, edit=lambda m: put_files(m, {file_names.SMBIOS_ANCHOR: bytes(32)})),
    "cut structures": Case(
        "SMBIOS_TABLES", 4, edit=lambda m: put_files(
            m, {file_names.SMBIOS_ANCHOR: bytes(31), file_names.SMBIOS_TABLES: b"\x01\x04\0\0"})),
    "overlap": Case("E820_OVERLAP", 0x1000000, memmap=[LOW, (0x1000000, 0x1000, RESERVED)]),
    "overlap by a byte": Case(
        "E820_OVERLAP", 0x1FFFFFFF, memmap=[(0x1FFFFFFF, 0x1000, RESERVED), LOW]),
    "overlap above 4 GiB": Case("E820_OVERLAP", 0x80000000, memmap=[
        LOW, (4 * GIB, 8 * GIB, RAM), (10 * GIB, GIB, RESERVED)]),
    "same range twice": Case("E820_OVERLAP", 0x100000, memmap=[LOW, LOW]),
    "RAM over the hole": Case("E820_OVERLAP", 0x9F000, memmap=[LOW, (0x9F000, 0x2000, RAM)]),
    "no RAM for the firmware": Case("E820_SMALL", 0, edit=take_ram),
    "the same on q35": Case("E820_SMALL", 0, edit=take_ram, machine="q35"),
    "RAM that ends below 1 MiB": Case("E820_SMALL", 0x100000, memmap=[(0, 0x100000, RAM)]),
    "no RAM at 0": Case("E820_LOW", 0, memmap=[(0x100000, 511 * MIB, RAM)]),
    "half an entry": Case("E820_SIZE", 30, memmap=[LOW], edit=shorten_e820),
    "type 0": Case("E820_RANGE", 0x30000000, memmap=[LOW, (0x30000000, 0x1000, 0)]),
    "wraps": Case(
        "E820_RANGE", 0xFFFFF000, memmap=[LOW, (TOP - 0x1000, 0x2000, RESERVED)]),
    "127 entries": Case(
        "E820_ENTRIES", 127,
        memmap=[LOW, *((0x40000000 + i * 0x2000, 0x1000, RESERVED) for i in range(123))]),
    "127 with the one for ACPI": Case(
        "E820_ENTRIES", 127,
        memmap=[LOW, *((0x40000000 + i * 0x2000, 0x1000, RESERVED) for i in range(122))]),
    "too many to read": Case("E820_SIZE", 2000 * 20, memmap=[LOW] * 2000),
    "DMA error": Case("FW_CFG_DMA", 1, edit=refuse_dma),
    "no device": Case("NO_FW_CFG", 0xFFFFFFFF, edit=remove_device),
    "bzImage grows past RAM": Case(
        "KERNEL_RANGE", 0x100000, kernel=partial(build_test_bzimage, init_size=511 * MIB + 1)),
    "bzImage grows past 4 GiB": Case(
        "KERNEL_RANGE", 0x100000, kernel=partial(build_test_bzimage, init_size=0xFFFFFFFF)),
    "bzImage's setup_data would start at 4 GiB": Case(
        "KERNEL_RANGE", 0x100000,
        kernel=partial(build_test_bzimage, init_size=0xFFEFFFF8, setup_data=0x100010)),
    "bzImage's setup_data would end behind 4 GiB": Case(
        "KERNEL_RANGE", 0x100000,
        kernel=partial(build_test_bzimage, init_size=0xFFEFFFF0, setup_data=0x100010)),
    "bzImage runs above 4 GiB": Case(
        "KERNEL_RANGE", 0x100000, kernel=partial(build_test_bzimage, pref_address=1 << 32)),
    "bzImage runs outside RAM": Case(
        "KERNEL_RANGE", 0x100000,
        kernel=partial(build_test_bzimage, relocatable_kernel=1, pref_address=0x1FFFFFFF)),
    "bzImage of 4 GiB": Case(
        "KERNEL_RANGE", 0x100000, {Key.KERNEL_SIZE: 0xFFFFFFFF}, kernel=build_test_bzimage),
    "bzImage's alignment": Case(
        "KERNEL_RANGE", 0x100000,
        kernel=partial(build_test_bzimage, relocatable_kernel=1, kernel_alignment=0)),
    "bzImage runs in the firmware": Case(
        "KERNEL_RANGE", 0x8000,
        kernel=partial(build_test_bzimage, pref_address=0x8000, init_size=1)),
    "bzImage's command line": Case(
        "CMDLINE_SIZE", 257, {Key.CMDLINE_SIZE: 257},
        kernel=partial(build_test_bzimage, cmdline_size=255)),
    "bzImage's initrd too high": Case(
        "INITRD_LIMIT", 0x1000000, initrd(0x1000000, 0x1001),
        kernel=partial(build_test_bzimage, initrd_addr_max=0x1000FFF)),
    "64-bit bzImage's initrd too high": Case(
        "INITRD_LIMIT", 0x1000000, initrd(0x1000000, 0x1001),
        kernel=partial(
            build_test_bzimage,
            initrd_addr_max=0x1000FFF, xloadflags=linux_boot.XLoadFlag.KERNEL_64)),
    "initrd where the bzImage will run": Case(
        "INITRD_OVERLAP", 0x2FFFFFF, initrd(0x2FFFFFF, 16),
        kernel=partial(
            build_test_bzimage,
            relocatable_kernel=1, pref_address=0x2000000, init_size=0x1000000)),
    # It prefers a lower address, and stays where it is loaded.
    "initrd where the bzImage stays": Case(
        "INITRD_OVERLAP", 0x11FF000, {Key.KERNEL_ADDR: 0x200000, **initrd(0x11FF000, 16)},
        kernel=partial(
            build_test_bzimage,
            relocatable_kernel=1, pref_address=0x100000, init_size=0x1000000)),
    "initrd over the last bytes of what the bzImage takes": Case(
        "INITRD_OVERLAP", 0x3000000, initrd(0x3000000, 16),
        kernel=partial(
            build_test_bzimage,
            relocatable_kernel=1, pref_address=0x2000000, init_size=0x1000008)),
    # The kernel lies at 1 MiB, where an initrd before it would start in the hole: move it up.
    "initrd over the kernel's start": Case(
        "INITRD_OVERLAP", 0x1FF000,
        {Key.KERNEL_ADDR: 0x200000, Key.KERNEL_ENTRY: 0x200000, **initrd(0x1FF000, 0x1001)}),
    "too many functions": Case("PCI_FUNCTIONS", one_too_many(), machine="pc", pci=crowd()),
    # A root bus has number 64: 63 buses fit before it.
    "a root bus in the way": Case("PCI_BUSES", 0x80004F00, machine="pc", edit=extra_root, pci=[
        *bridges(64), endpoint((0,), {}, root=64)]),
    # 18 behind the first bridge, so the last of the 239 would get number 256.
    "256 buses": Case("PCI_BUSES", 0x8000FE00, machine="pc", pci=[
        *bridges(239), *(PciFunction(0, (16, *f.path), f.config, f.mask) for f in bridges(17))]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_stop(name: str) -> None:
    case = CASES[name]
    image = build_image(case.template)
    found = recording.find(Guest(case.machine))
    found = replace(found, pci=found.pci + case.pci)
    loaded = protocols.load(Guest(case.machine), found, case.kernel())
    machine = Machine(image.image, found, loaded)
    items = {key: value.to_bytes(4, "little") for key, value in case.keys.items()}
    machine.fw_cfg.items |= items
    if case.memmap is not None:
        claim(machine, case.memmap)
    if case.edit:
        case.edit(machine)
    outcome = machine.run()
    stop = stop_codes.BY_NAME[case.stop]
    line = f"fwbuild: {stop.code:02x} {stop.what} {case.detail:08x}\n"
    assert (outcome.kind, outcome.exit_value) == ("exit", stop.code), outcome
    assert outcome.console == outcome.serial == line
    areas = [(0, e820.EBDA), (layout.F_SEGMENT.base, layout.F_SEGMENT.end)]
    if case.stop.startswith("SMBIOS"):  # ACPI's tables are in high RAM by then
        top = int.from_bytes(machine.read(layout.address("work", "high_top"), 4), "little")
        areas.append((top, 512 * MIB))
    assert all(any(a <= p * PAGE < b for a, b in areas) for p in machine.writes), machine.writes


def test_a_code_that_nobody_knows(image: Image) -> None:
    """Its number is printed still."""
    where = image.linked.addresses["handoff_init"]
    jump = image.linked.addresses["stop_with"] - (where + 7) & 0xFFFFFFFF
    code = bytes([0xB0, 0xEE, 0xE9]) + jump.to_bytes(4, "little")  # mov al, 0xee; jmp stop_with
    outcome = Machine(broken(image, "handoff_init", code), recording.find(Guest("pc"))).run()
    assert outcome.exit_value == 0xEE
    assert re.fullmatch("fwbuild: ee [?] [0-9a-f]{8}\n", outcome.console)


def test_how_a_line_is_written(image: Image) -> None:
    """The debug console, and the serial port after a look at its line status: it is ready at once.
    Then isa-debug-exit gets the code."""
    machine = Machine(image.image, recording.find(Guest("pc")))
    outcome = machine.run()
    at = next(i for i, a in enumerate(outcome.accesses) if a.port == 0x402)
    rows = [(a.direction, a.port, a.size) for a in outcome.accesses[at:]]
    each = [("out", 0x402, 1), ("in", 0x3FD, 1), ("out", 0x3F8, 1)]
    assert rows == each * len(outcome.console) + [("out", 0x501, 1)]
    assert outcome.console


def test_every_stop_has_a_case() -> None:
    # behind the handoff, in another template, in a broken image: test_handoff_linux16.py,
    # test_smp.py, test_exceptions.py, test_hostile.py; at a wake:
    # test_wake.py; of a kernel that the firmware loads: test_kernel_file*.py; of a guest in a RAM
    # file, or on another machine: test_bake.py
    elsewhere = {"GAVE_UP", "CPUS", "EXCEPTION", "FEATURE_CONTROL", "FW_CFG_FILES", "SETUP_DATA"}
    elsewhere |= {"WAKE_VECTOR", "WAKE_VMLINUX", "KERNEL_FILE", "KERNEL_ELF", "KERNEL_WANTS"}
    elsewhere |= {"INFO_SIZE"}
    elsewhere |= {"NO_RECORD", "RECORD_SPENT", "RECORD_MEMORY", "RECORD_MODULES", "MACHINE"}
    found = {case.stop for case in CASES.values()} | elsewhere
    assert {stop.name for stop in stop_codes.STOPS} == found
