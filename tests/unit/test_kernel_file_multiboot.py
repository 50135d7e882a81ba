"""Multiboot kernels that the firmware loads itself."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from fwbuild.abi import elf, multiboot, offsets
from fwbuild.abi.multiboot import HeaderFlag
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.errors import FwbuildError
from fwbuild.firmware import file_names, layout, stop_codes
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import build_test_kernel, build_test_multiboot
from fwbuild.protocols import MULTIBOOT, PVH
from fwbuild.protocols.multiboot import MultibootHandoff
from tests.support import hobby
from tests.support.booted import emulated
from tests.support.file_kernels import entered, with_modules
from tests.support.files import bare, put_sizes
from tests.support.multiboot import by_header

pytestmark = pytest.mark.usefixtures("sandbox")
INFO = offsets(multiboot.INFO)


boot = partial(entered, MULTIBOOT)


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    return with_modules(tmp_path)


LAST = multiboot.HEADER_SEARCH - multiboot.HEADER.sizeof() - 4


def test_where_a_header_may_be(guest: Guest, image: Image) -> None:
    """In the first 8 KiB with all of its fields, as QEMU has it."""
    last, behind = (
        bytes(at - 64) + by_header(header_addr=0x100000 + at) for at in (LAST, LAST + 4)
    )
    assert boot(guest, image, last).outcome.kind == "handoff"
    outcome = bare(image.image, {file_names.KERNEL: behind}).run()
    assert outcome.exit_value == stop_codes.BY_NAME["KERNEL_FILE"].code
    assert MULTIBOOT.place(behind, "k", layout.MULTIBOOT_HIGH) is None


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("dma", [True, False])
@pytest.mark.parametrize("name", MACHINES)
def test_kernel_reports(
    name: str, dma: bool, bits: int, guest: Guest, image: Image, tmp_path: Path
) -> None:
    """The kernel prints what it finds, read by its own code."""
    kernel = build_test_multiboot()
    if bits == 64:
        kernel = hobby.elf64(kernel, tmp_path)
    guest = Guest(name, initrd=guest.initrd, append=guest.append, firmware_loads=True)
    machine = boot(guest, image, kernel, dma=dma)
    (one, two), info = modules(machine), handoff(machine).info
    outcome = machine.run_kernel()
    assert (outcome.kind, outcome.exit_value) == ("exit", 1)
    lines = outcome.console.splitlines()
    assert lines[1:9] == [
        "magic   2badb002",
        "flags   0000024d",
        f"lower   {info.mem_lower:08x}",
        f"upper   {info.mem_upper:08x}",
        "device  00000000",
        "loader  fwbuild",
        "cmdline a=b c",
        f"module  {one[0]:08x} {one[0] + 5120:08x} its arguments",
    ]
    assert lines[9] == f"module  {two[0]:08x} {two[0] + 0x3001:08x} "


def handoff(machine: Machine) -> MultibootHandoff:
    return MULTIBOOT.read(machine.state())


def modules(machine: Machine) -> list[tuple[int, int, bytes]]:
    return handoff(machine).modules


@pytest.mark.parametrize("virtual", [0, hobby.VIRTUAL])
def test_a_hobby_kernel(virtual: int, guest: Guest, image: Image, tmp_path: Path) -> None:
    """Its entry is a virtual address; it is entered at the physical one."""
    kernel = hobby.link(hobby.HEADER1.format(flags=3), tmp_path, virtual).read_bytes()
    machine = boot(guest, image, kernel)
    assert machine.read(machine.outcome.registers["eip"], 1) == b"\xf4"
    assert machine.read(hobby.PHYSICAL, 12) == kernel[0x1000:0x100C]
    assert machine.read(hobby.PHYSICAL + 0x1000, 8) == b"\x78\x56\x34\x12" + bytes(4)


# name: (fields, bytes that are loaded, of them from the file)
ADDRESSES: dict[str, tuple[dict[str, int], int, int]] = {
    "to the end of the file": ({}, 164, 164),
    "to load_end_addr": ({"load_end_addr": 0x100050}, 0x50, 0x50),
    "with bss": ({"load_end_addr": 0x100050, "bss_end_addr": 0x101000}, 0x1000, 0x50),
    "bss behind the file": ({"bss_end_addr": 0x101000}, 0x1000, 164),
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_header_with_addresses(name: str, guest: Guest, image: Image) -> None:
    """No ELF file: the header says where it is loaded."""
    fields, size, from_file = ADDRESSES[name]
    data = by_header(**fields)
    machine = boot(guest, image, data)
    assert machine.outcome.registers["eip"] == 0x100040
    assert machine.read(0x100000, size) == data[48 : 48 + from_file].ljust(size, b"\0")


def test_a_magic_without_its_sum_is_no_header(image: Image) -> None:
    """And a kernel may have no module."""
    data = bytearray(by_header())
    data[:12] = multiboot.HEADER_MAGIC.to_bytes(4, "little") + bytes(8)
    machine = boot(Guest("pc", firmware_loads=True), image, bytes(data))
    assert machine.outcome.registers["eip"] == 0x100040
    assert modules(machine) == []


@pytest.mark.parametrize("kind", [elf.PT_LOAD, elf.PT_NOTE])
def test_an_entry_below_another_segment(kind: int, image: Image, tmp_path: Path) -> None:
    """The segment that is looked at first is not the entry's, which lies below it."""
    kernel = bytearray(hobby.link(hobby.HEADER1.format(flags=0), tmp_path, virtual=0).read_bytes())
    table, size = elf.EHDR64.parse(kernel).phoff, elf.PHDR64.sizeof()
    first, second = kernel[table : table + size], kernel[table + size : table + 2 * size]
    kernel[table : table + 2 * size] = kind.to_bytes(4, "little") + second[4:] + first
    machine = boot(Guest("pc", firmware_loads=True), image, bytes(kernel))
    assert machine.read(machine.outcome.registers["eip"], 1) == b"\xf4"


def entered_in_segment(folder: Path, number: int, offset: int, **fields: int) -> bytes:
    """A hobby kernel with an entry so far into a segment, whose header has other fields."""
    kernel = bytearray(hobby.link(hobby.HEADER1.format(flags=0), folder).read_bytes())
    header = elf.EHDR64.parse(kernel)
    at = header.phoff + number * elf.PHDR64.sizeof()
    segment = elf.PHDR64.parse(kernel[at:])
    segment.update(fields)
    header.entry = segment.vaddr + offset
    kernel[: elf.EHDR64.sizeof()] = elf.EHDR64.build(header)
    kernel[at : at + elf.PHDR64.sizeof()] = elf.PHDR64.build(segment)
    return bytes(kernel)


def test_an_entry_in_a_segment_that_lies_elsewhere(image: Image, tmp_path: Path) -> None:
    """The second of two, whose physical addresses are farther apart than the virtual ones."""
    kernel = entered_in_segment(tmp_path, 1, 4, paddr=0x400000)
    machine = boot(Guest("pc", firmware_loads=True), image, kernel)
    assert machine.outcome.registers["eip"] == 0x400004


@pytest.mark.parametrize("kind, bits", [(elf.PT_LOAD, 32), (elf.PT_NOTE, 64)])
def test_an_entry_that_is_another_segments(
    kind: int, bits: int, image: Image, tmp_path: Path
) -> None:
    """Virtual addresses have 64 bits: 32 that are equal do not make an entry, and a segment that is
    not loaded has none."""
    kernel = bytearray(hobby.link(hobby.HEADER1.format(flags=0), tmp_path).read_bytes())
    header = elf.EHDR64.parse(kernel)
    table, size = header.phoff, elf.PHDR64.sizeof()
    rows = kernel[table : table + header.phnum * size]
    other = elf.PHDR64.parse(rows)
    other.type, other.vaddr, other.paddr = kind, header.entry % (1 << bits), 0x400000
    other.filesz = 0
    kernel[table : table + size + len(rows)] = elf.PHDR64.build(other) + rows
    field = offsets(elf.EHDR64)["phnum"]
    kernel[field : field + 2] = (header.phnum + 1).to_bytes(2, "little")
    machine = boot(Guest("pc", firmware_loads=True), image, bytes(kernel))
    assert machine.outcome.registers["eip"] == header.entry - hobby.VIRTUAL


def test_multiboot_goes_before_pvh(guest: Guest, image: Image) -> None:
    """As QEMU takes a file that has both."""
    kernel = bytearray(build_test_kernel())
    at = kernel.index(b"\0" * 12, 0x60) & -4
    header = (multiboot.HEADER_MAGIC, 0, -multiboot.HEADER_MAGIC % (1 << 32))
    kernel[at : at + 12] = b"".join(n.to_bytes(4, "little") for n in header)
    machine = emulated(guest, image.image, bytes(kernel))
    assert machine.state().protocol == MULTIBOOT.name
    assert machine.outcome.registers["eax"] == multiboot.LOADER_MAGIC


def test_modules_of_a_pvh_kernel(guest: Guest, image: Image) -> None:
    machine = emulated(guest, image.image)
    assert PVH.judge(machine.state()) == []
    found = PVH.read(machine.state()).modules
    texts = [machine.read(m.cmdline_paddr, 14) for m in found]
    assert texts[0] == b"its arguments\0"
    assert texts[1][:1] == b"\0"


@dataclass
class Case:
    """A file that is refused: the stop, its detail, and the header's fields."""

    stop: str
    detail: int
    fields: dict[str, int] = field(default_factory=dict)


HIGH = 1 << 31
CASES = {
    "video": Case("KERNEL_WANTS", 0x10004, {"flags": HeaderFlag.ADDRESSES | HeaderFlag.VIDEO}),
    "an unknown flag": Case("KERNEL_WANTS", 0x18000, {"flags": HeaderFlag.ADDRESSES | 1 << 15}),
    "an entry outside": Case("KERNEL_ENTRY", 0x100000, {"entry_addr": 0x200000}),
    "no entry": Case("KERNEL_ENTRY", 0, {"entry_addr": 0}),
    "it starts before the file": Case("KERNEL_ELF", 0x10000, {"load_addr": 0x10000}),
    "its header lies before it": Case("KERNEL_ELF", 0x100020, {"load_addr": 0x100020}),
    "it ends before it starts": Case("KERNEL_ELF", 0x100000, {"load_end_addr": 0xFFFFF}),
    "it ends behind the file": Case("KERNEL_ELF", 0x100000, {"load_end_addr": 0x200000}),
    "bss ends in it": Case("KERNEL_ELF", 0x100000, {"bss_end_addr": 0x100020}),
    "bss ends before it": Case("KERNEL_ELF", 0x100000, {"bss_end_addr": 1}),
    "below 1 MiB": Case(
        "KERNEL_OVERLAP", 0x8000, {"header_addr": 0x8000, "load_addr": 0x8000, "entry_addr": 0x8000}
    ),
    "outside RAM": Case(
        "KERNEL_RANGE", HIGH, {"header_addr": HIGH, "load_addr": HIGH, "entry_addr": HIGH}
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_stop(name: str, image: Image) -> None:
    case = CASES[name]
    machine = bare(image.image, {file_names.KERNEL: by_header(**case.fields)})
    outcome = machine.run()
    stop = stop_codes.BY_NAME[case.stop]
    assert outcome.console == f"fwbuild: {stop.code:02x} {stop.what} {case.detail:08x}\n"
    assert max(machine.writes) < 0xA0  # pages: only below 1 MiB


REFUSED = [n for n, case in CASES.items() if case.stop in ("KERNEL_WANTS", "KERNEL_ELF")]


@pytest.mark.parametrize("name", REFUSED)
def test_the_loader_in_python_refuses_it_too(name: str) -> None:
    with pytest.raises(FwbuildError):
        MULTIBOOT.place(by_header(**CASES[name].fields), "k", 0)


@pytest.mark.parametrize("entry", [
    hobby.PHYSICAL,  # where it lies, not where it is linked
    hobby.VIRTUAL + 2 * hobby.PHYSICAL + 0x1800,  # behind its start as far as it lies behind 0
])  # fmt: skip
def test_an_entry_in_no_segment(entry: int, image: Image, tmp_path: Path) -> None:
    kernel = bytearray(hobby.link(hobby.HEADER1.format(flags=0), tmp_path).read_bytes())
    kernel[24:32] = entry.to_bytes(8, "little")
    outcome = bare(image.image, {file_names.KERNEL: bytes(kernel)}).run()
    stop = stop_codes.BY_NAME["KERNEL_ENTRY"]
    assert outcome.console == f"fwbuild: {stop.code:02x} {stop.what} {hobby.PHYSICAL:08x}\n"
    with pytest.raises(FwbuildError, match="no segment has its entry"):
        MULTIBOOT.place(bytes(kernel), "k", 0)


def test_an_entry_in_a_segment_that_wraps(image: Image, tmp_path: Path) -> None:
    kernel = entered_in_segment(tmp_path, 0, 0x1800, paddr=0xFFFFF000, memsz=0x2000)
    outcome = bare(image.image, {file_names.KERNEL: kernel}).run()
    assert outcome.exit_value == stop_codes.BY_NAME["KERNEL_ELF"].code


SIZE = layout.region("texts").size
# name: (bytes of each command line, whether they fit)
TEXTS = {
    "one that fits": ([SIZE - 1], True),
    "one that does not": ([SIZE], False),
    "two that fit": ([SIZE - 3, 1], True),
    "two that do not": ([SIZE - 3, 2], False),
}


@pytest.mark.parametrize("name", TEXTS)
def test_room_for_command_lines(name: str, image: Image) -> None:
    sizes, fits = TEXTS[name]
    files = {}
    for number, size in enumerate(sizes, 1):
        files[file_names.module(number)] = b"m"
        files[file_names.module_cmdline(number)] = b"x" * size
    kernel, guest = build_test_multiboot(), Guest("microvm", firmware_loads=True)
    machine = emulated(guest, image.image, kernel, files=files)
    outcome = machine.run_kernel() if fits else machine.outcome
    assert outcome.exit_value == (1 if fits else stop_codes.BY_NAME["CMDLINE_SIZE"].code)
    assert layout.region("texts").end >> 12 not in machine.writes  # pages
    if fits:
        said = [line.count("x") for line in outcome.console.splitlines() if "module" in line]
        assert said == sizes


@pytest.mark.parametrize("less", [0, 1, 2, 3])
@pytest.mark.parametrize("before", [0, 2])
def test_a_command_line_of_nearly_4_gib(before: int, less: int, image: Image) -> None:
    """Its size and that of what is there already wrap."""
    files = {file_names.module(1): b"m", file_names.module_cmdline(1): b"x" * (before - 1)}
    last = 2 if before else 1
    files |= {file_names.module(last): b"m", file_names.module_cmdline(last): b"x"}
    files |= {file_names.KERNEL: build_test_multiboot()}
    machine = Machine(image.image, recording.find(Guest("microvm")).with_files(files))
    put_sizes(machine, {file_names.module_cmdline(last): 0xFFFFFFFF - less})
    assert machine.run().exit_value == stop_codes.BY_NAME["CMDLINE_SIZE"].code


# name: (field of the information, its value in memory, words of the complaint)
DEPARTURES = {
    "flags": ("flags", b"\x4f", "flags are"),
    "boot device": ("boot_device", b"\1", "boot_device is"),
    "modules": ("mods_count", b"\1", "1 modules of 2 files"),
    "command line": ("cmdline", b"\0\0\0\0", "the command line is"),
    "boot loader": ("boot_loader_name", b"\0\0\0\0", "the loader's name is"),
}


@pytest.mark.parametrize("name", DEPARTURES)
def test_judge(name: str, guest: Guest, image: Image) -> None:
    field_name, value, words = DEPARTURES[name]
    machine = boot(guest, image, build_test_multiboot())
    machine.uc.mem_write(machine.outcome.registers["ebx"] + INFO[field_name], value)
    assert words in " / ".join(MULTIBOOT.judge(machine.state()))


def test_judge_of_the_contents(guest: Guest, image: Image) -> None:
    machine = boot(guest, image, build_test_multiboot())
    (one, two) = modules(machine)
    machine.uc.mem_write(one[0] + 5, b"\xff")
    list_at = handoff(machine).info.mods_addr
    machine.uc.mem_write(list_at + 24, (0x100000).to_bytes(4, "little"))
    machine.uc.mem_write(0x100000, b"\xff")
    words = " / ".join(MULTIBOOT.judge(machine.state()))
    assert "module file 1 is damaged" in words
    assert "module file 2: its command line is" in words
    assert "the kernel's segment at 0x100000 is damaged" in words
    assert two[0] % 4096 == 0
