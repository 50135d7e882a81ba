"""Multiboot 2 kernels, which the firmware loads itself."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from fwbuild.abi import elf, multiboot2, offsets, smbios
from fwbuild.abi.multiboot2 import HeaderTag, InfoTag
from fwbuild.emulator.machine import Machine
from fwbuild.errors import FwbuildError
from fwbuild.firmware import file_names, layout, stop_codes
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.machines import MACHINES
from fwbuild.protocols import MULTIBOOT2, ways
from fwbuild.protocols.multiboot2 import Multiboot2Handoff
from fwbuild.sizes import MIB
from tests.support import hobby
from tests.support.booted import emulated
from tests.support.file_kernels import entered, with_modules
from tests.support.files import bare
from tests.support.hobby import tag

pytestmark = pytest.mark.usefixtures("sandbox")
MOVE, ADDRESSES, ENTRY = HeaderTag.RELOCATABLE, HeaderTag.ADDRESSES, HeaderTag.ENTRY
TOP = 512 * MIB
LOW, HIGH = 1, 2


boot = partial(entered, MULTIBOOT2)


def handoff(machine: Machine) -> Multiboot2Handoff:
    return MULTIBOOT2.read(machine.state())


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    return with_modules(tmp_path)


@pytest.mark.parametrize("dma", [True, False])
@pytest.mark.parametrize("name", MACHINES)
def test_a_hobby_kernel(name: str, dma: bool, guest: Guest, image: Image, tmp_path: Path) -> None:
    """What it is handed, spelled out apart from the judge."""
    path = hobby.link(hobby.HEADER2.format(tags=""), tmp_path)
    guest = Guest(name, initrd=guest.initrd, append=guest.append, firmware_loads=True)
    machine = boot(guest, image, path.read_bytes(), dma=dma)
    registers = machine.outcome.registers
    assert registers["eax"] == 0x36D76289
    assert registers["ebx"] % 8 == 0
    assert machine.read(registers["eip"], 1) == b"\xf4"
    found = handoff(machine)
    acpi = InfoTag.ACPI_NEW if name == "microvm" else InfoTag.ACPI_OLD
    assert {kind for kind, _ in found.tags} == {1, 2, 3, 4, 6, 9, acpi, 0} | (
        {InfoTag.SMBIOS} if name != "microvm" else set()
    )
    assert found.of(InfoTag.CMDLINE) == b"a=b c\0"
    assert found.of(InfoTag.BOOT_LOADER_NAME) == b"fwbuild\0"
    assert (found.of(acpi) or b"").startswith(b"RSD PTR ")
    sizes = [(end - start, text) for start, end, text in found.modules]
    assert sizes == [(5120, b"its arguments"), (0x3001, b"")]
    with path.open("rb") as file:
        elf = ELFFile(file)
        names = elf.header["e_shstrndx"]
        count = elf.num_sections()
    sections = found.of(InfoTag.ELF_SECTIONS) or b""
    words = [int.from_bytes(sections[i : i + 4], "little") for i in (0, 4, 8)]
    assert words == [count, 64, names]
    assert len(sections) == 12 + 64 * count


@dataclass
class Moved:
    """A header's tag, and where the kernel is to be; None where there is no place."""

    minimum: int
    maximum: int
    align: int
    preference: int
    base: int | None


MOVED = {
    "the lowest": Moved(0, 0xFFFFFFFF, 0x1000, LOW, 0x100000),
    "the lowest, above 1 MiB": Moved(0x300001, 0xFFFFFFFF, 0x200000, LOW, 0x400000),
    "no preference": Moved(0x300000, 0xFFFFFFFF, 1, 0, 0x300000),
    "the highest": Moved(0x100000, 0xFFFFFFFF, 0x200000, HIGH, TOP - 0x200000),
    "the highest below a limit": Moved(0x100000, 0x1800000, 0x1000, HIGH, 0x17F9000),
    "no alignment": Moved(0x100000, 0x1800000, 1, HIGH, 0x17F9000),
    "an alignment of 0": Moved(0x300000, 0xFFFFFFFF, 0, LOW, None),
    "it does not fit": Moved(0x100000, 0x106003, 0x1000, LOW, None),
    "it just fits": Moved(0x100000, 0x106004, 0x1000, LOW, 0x100000),
    "not above the lowest": Moved(0x1F000000, 0x1F001000, 0x1000, HIGH, None),
    "past 4 GiB": Moved(0xFFFFF000, 0xFFFFFFFF, 0x1000, LOW, None),
}


@pytest.mark.parametrize("name", MOVED)
def test_a_kernel_that_can_be_moved(name: str, guest: Guest, image: Image, tmp_path: Path) -> None:
    case = MOVED[name]
    words = (case.minimum, case.maximum, case.align, case.preference)
    header = hobby.HEADER2.format(tags=tag(MOVE, *words))
    kernel = hobby.link(header, tmp_path).read_bytes()
    if case.base is None:
        outcome = bare(image.image, {file_names.KERNEL: kernel}).run()
        assert outcome.exit_value == stop_codes.BY_NAME["KERNEL_RANGE"].code
        with pytest.raises(FwbuildError, match="lets it be moved"):
            MULTIBOOT2.place(kernel, "k", TOP)
        return
    machine = boot(guest, image, kernel)
    assert handoff(machine).of(InfoTag.LOAD_BASE) == case.base.to_bytes(4, "little")
    assert machine.read(case.base, 4) == b"\xd6\x50\x52\xe8"  # the header lies first
    assert machine.read(machine.outcome.registers["eip"], 1) == b"\xf4"


def test_modules_may_lie_above_a_kernels_limit(image: Image, tmp_path: Path) -> None:
    """There is no room for this one between 1 MiB and the kernel."""
    header = hobby.HEADER2.format(tags=tag(MOVE, 0x100000, 0x400000, 0x1000, HIGH))
    module = tmp_path / "module"
    module.write_bytes(bytes(4 * MIB))
    machine = boot(
        Guest("pc", initrd=module, firmware_loads=True),
        image,
        hobby.link(header, tmp_path).read_bytes(),
    )
    ((start, end, _),) = handoff(machine).modules
    assert start >= 0x400000 and end - start == 4 * MIB


def test_the_text_of_a_module_of_one_byte(image: Image, tmp_path: Path) -> None:
    kernel = hobby.link(hobby.HEADER2.format(tags=""), tmp_path).read_bytes()
    files = {file_names.module(1): b"m", file_names.module_cmdline(1): b"its text"}
    guest = Guest("pc", firmware_loads=True)
    ((start, end, text),) = handoff(emulated(guest, image.image, kernel, files=files)).modules
    assert (end - start, text) == (1, b"its text")


def test_addresses_in_the_header(guest: Guest, image: Image) -> None:
    """No ELF file, so no sections."""
    at = layout.region("head").size // 2
    start = 0x200000
    kernel = flat(
        at, {"load_addr": start, "header_addr": start + at, "bss_end_addr": start + 0x9000}
    )
    machine = boot(guest, image, kernel)
    assert machine.outcome.registers["eip"] == start + 4
    assert machine.read(start, len(kernel)) == kernel
    assert machine.read(start + len(kernel), 0x9000 - len(kernel)).strip(b"\0") == b""
    assert handoff(machine).of(InfoTag.ELF_SECTIONS) is None


@pytest.mark.parametrize("at", [0x800, 0x4008])
def test_a_kernel_that_is_loaded_from_the_files_start(at: int, guest: Guest, image: Image) -> None:
    """A load_addr of -1 says so. It is entered 4 bytes behind its start, in this test."""
    start = 0x200000
    kernel = flat(at, {"load_addr": multiboot2.FROM_START, "header_addr": start + at}, start + 4)
    machine = boot(guest, image, kernel)
    assert machine.outcome.registers["eip"] == start + 4
    assert machine.read(start, len(kernel)) == kernel


def test_a_file_that_would_start_below_0(image: Image) -> None:
    kernel = flat(0x800, {"load_addr": multiboot2.FROM_START, "header_addr": 0x7F8}, 0x100000)
    outcome = bare(image.image, {file_names.KERNEL: kernel}).run()
    assert outcome.exit_value == stop_codes.BY_NAME["KERNEL_ELF"].code
    with pytest.raises(FwbuildError, match="invalid load_addr"):
        MULTIBOOT2.place(kernel, "k", TOP)


def flat(at: int, fields: dict[str, int], entry: int | None = None) -> bytes:
    """A kernel of no format: a header with addresses at an offset; it is entered 4 bytes behind
    its load_addr, or at `entry`."""
    head = {"type": ADDRESSES, "flags": 0, "size": multiboot2.ADDRESSES.sizeof()}
    values = {"load_end_addr": 0, "bss_end_addr": 0} | fields
    tags = multiboot2.ADDRESSES.build({"tag": head} | values)
    head = {"type": ENTRY, "flags": 0, "size": multiboot2.ENTRY.sizeof()}
    entry = values["load_addr"] + 4 if entry is None else entry
    tags += multiboot2.ENTRY.build({"tag": head, "entry_addr": entry})
    tags += bytes(4)
    tags += multiboot2.HEADER_TAG.build({"type": 0, "flags": 0, "size": 8})
    size = multiboot2.HEADER.sizeof() + len(tags)
    magic = multiboot2.HEADER_MAGIC
    header = {"magic": magic, "architecture": 0, "header_length": size}
    header["checksum"] = -(magic + size) % (1 << 32)
    code = b"\x90\x90\x90\x90\xf4".ljust(at, b"\x90")
    return code + bytes(multiboot2.HEADER.build(header)) + bytes(tags)


def test_an_entry_of_the_header_goes_before_elfs(
    guest: Guest, image: Image, tmp_path: Path
) -> None:
    entry = hobby.PHYSICAL + 8
    kernel = hobby.link(hobby.HEADER2.format(tags=tag(ENTRY, entry)), tmp_path).read_bytes()
    assert boot(guest, image, kernel).outcome.registers["eip"] == entry


@pytest.mark.parametrize("physical", [0, hobby.PHYSICAL])
@pytest.mark.parametrize("moved", [False, True])
def test_an_entry_in_no_segment(
    moved: bool, physical: int, guest: Guest, image: Image, tmp_path: Path
) -> None:
    """Wherever the kernel is linked, and however far it is moved. At its start it would be one."""
    tags = tag(MOVE, 0x100000, 0xFFFFFFFF, 0x1000, LOW) if moved else ""
    path = hobby.link(hobby.HEADER2.format(tags=tags), tmp_path, virtual=1 << 40, physical=physical)
    kernel = bytearray(path.read_bytes())
    at = offsets(elf.EHDR64)["entry"]
    kernel[at : at + 8] = ((1 << 40) + physical - 1).to_bytes(8, "little")
    outcome = bare(image.image, {file_names.KERNEL: bytes(kernel)}).run()
    assert outcome.exit_value == stop_codes.BY_NAME["KERNEL_ENTRY"].code
    with pytest.raises(FwbuildError, match="no segment has its entry"):
        MULTIBOOT2.place(bytes(kernel), "k", TOP)
    if moved:
        kernel[at : at + 8] = ((1 << 40) + physical).to_bytes(8, "little")
        assert boot(guest, image, bytes(kernel)).outcome.registers["eip"] == 0x100000


def test_addresses_without_an_entry(image: Image) -> None:
    """Nothing else says where such a kernel begins."""
    kernel = flat(0x800, {"load_addr": 0x200000, "header_addr": 0x200800}, entry=0)
    outcome = bare(image.image, {file_names.KERNEL: kernel}).run()
    assert outcome.exit_value == stop_codes.BY_NAME["KERNEL_ENTRY"].code


def test_an_entry_of_0_is_none(guest: Guest, image: Image, tmp_path: Path) -> None:
    kernel = hobby.link(hobby.HEADER2.format(tags=tag(ENTRY, 0)), tmp_path).read_bytes()
    assert boot(guest, image, kernel).outcome.registers["eip"] == hobby.PHYSICAL + 0x28


ALL = range(22)
# name: tags that the firmware takes as they are
TAKEN = {
    "all that the specification knows": tag(HeaderTag.INFORMATION, *ALL),
    "nothing": tag(HeaderTag.INFORMATION),
    "modules aligned": tag(HeaderTag.MODULE_ALIGN),
    "EFI's boot services": tag(HeaderTag.EFI_BOOT_SERVICES),
    "EFI's entries": tag(HeaderTag.ENTRY_EFI32, 1) + tag(HeaderTag.ENTRY_EFI64, 1),
    "a console if there is one": tag(HeaderTag.CONSOLE, 2),
    "a framebuffer, optional": tag(HeaderTag.FRAMEBUFFER, 0, 0, 32, optional=True),
    "a console, optional": tag(HeaderTag.CONSOLE, 1, optional=True),
    "a tag of tomorrow, optional": tag(99, 1, 2, 3, optional=True),
    "information of tomorrow, optional": tag(HeaderTag.INFORMATION, 8, 99, 1, optional=True),
    "a framebuffer": tag(HeaderTag.FRAMEBUFFER, 1025, 769, 32),
}
# name: (tags, detail of the stop)
REFUSED = {
    "a console": (tag(HeaderTag.CONSOLE, 1), HeaderTag.CONSOLE),
    "a tag of tomorrow": (tag(11), 11),
    "another": (tag(0x104), 0x104),
    "information of tomorrow": (tag(HeaderTag.INFORMATION, 1, 22, 2), 22),
    "information of no number": (tag(HeaderTag.INFORMATION, 0xFFFFFFFF), 0xFFFFFFFF),
}


@pytest.mark.parametrize("name", TAKEN)
def test_tags(name: str, guest: Guest, image: Image, tmp_path: Path) -> None:
    boot(guest, image, hobby.link(hobby.HEADER2.format(tags=TAKEN[name]), tmp_path).read_bytes())


@pytest.mark.parametrize("name", REFUSED)
def test_tags_that_are_refused(name: str, image: Image, tmp_path: Path) -> None:
    tags, detail = REFUSED[name]
    kernel = hobby.link(hobby.HEADER2.format(tags=tags), tmp_path).read_bytes()
    stop = stop_codes.BY_NAME["KERNEL_WANTS"]
    outcome = bare(image.image, {file_names.KERNEL: kernel}).run()
    assert outcome.console == f"fwbuild: {stop.code:02x} {stop.what} {detail:08x}\n"
    with pytest.raises(FwbuildError, match="a Multiboot 2 kernel that cannot be loaded"):
        MULTIBOOT2.place(kernel, "k", TOP)


ALIGN, PLACE = tag(HeaderTag.MODULE_ALIGN), tag(MOVE, 0x200000, 0x2000000, 0x1000, 1)
SPAN = tag(ADDRESSES, *[hobby.PHYSICAL] * 2, 0, 0)
# name: (tag, offset in it, bytes to put there)
DAMAGED = {
    "a tag of no bytes": (ALIGN, 4, bytes(4)),
    "a tag without its own header": (ALIGN, 4, b"\7"),
    "a tag of many bytes": (ALIGN, 4, b"\xff\xff\xff\xff"),
    "a tag of the whole head": (ALIGN, 4, b"\0\x80\0\0"),
    "a tag that leads past the head": (ALIGN, 4, b"\0\x7f\0\0"),
    "addresses without the last": (SPAN, 4, b"\x14"),
    "an entry without its address": (ALIGN, 0, b"\3"),
    "a console without its flags": (ALIGN, 0, b"\4"),
    "a place without a preference": (PLACE, 4, b"\x14"),
    "an optional one, too": (PLACE, 2, b"\1\0\x14"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_header(name: str, image: Image, tmp_path: Path) -> None:
    tags, at, data = DAMAGED[name]
    kernel = bytearray(hobby.link(hobby.HEADER2.format(tags=tags), tmp_path).read_bytes())
    first = kernel.index(b"\xd6\x50\x52\xe8") + multiboot2.HEADER.sizeof()
    kernel[first + at : first + at + len(data)] = data
    outcome = bare(image.image, {file_names.KERNEL: bytes(kernel)}).run()
    assert outcome.exit_value == stop_codes.BY_NAME["KERNEL_ELF"].code
    with pytest.raises(FwbuildError, match=r"in its header|has no end"):
        MULTIBOOT2.place(bytes(kernel), "k", TOP)


@pytest.mark.parametrize("field", ["architecture", "header_length", "checksum"])
def test_what_is_no_header(field: str, image: Image) -> None:
    kernel = bytearray(flat(0x800, {"load_addr": 0x200000, "header_addr": 0x200800}))
    at = 0x800 + {"architecture": 4, "header_length": 8, "checksum": 12}[field]
    kernel[at] ^= 4
    outcome = bare(image.image, {file_names.KERNEL: bytes(kernel)}).run()
    assert outcome.exit_value == stop_codes.BY_NAME["KERNEL_FILE"].code
    assert MULTIBOOT2.place(bytes(kernel), "k", TOP) is None


LAST = multiboot2.HEADER_SEARCH - multiboot2.HEADER.sizeof()


@pytest.mark.parametrize("at", [LAST - 64, 0x804, LAST + 8])
def test_where_a_header_may_be(at: int, image: Image) -> None:
    """Aligned, and in the first 32 KiB."""
    kernel = flat(at, {"load_addr": 0x200000, "header_addr": 0x200000 + at})
    outcome = bare(image.image, {file_names.KERNEL: kernel}).run()
    found = at == LAST - 64
    assert (MULTIBOOT2.place(kernel, "k", TOP) is not None) == found
    assert outcome.console.startswith("fwbuild: 28") != found


def test_information_that_is_too_long(image: Image, tmp_path: Path) -> None:
    """The command line alone would fit."""
    room = layout.MULTIBOOT2_END - layout.region("setup").base
    kernel = hobby.link(hobby.HEADER2.format(tags=""), tmp_path).read_bytes()
    ends = {}
    # the second ends where fields of the next tags, which are not checked, pass the end
    for size in (room - 0x800, room - 0x20, room):
        files = {file_names.KERNEL: kernel, file_names.CMDLINE: b"x" * size}
        ends[size] = bare(image.image, files).run().console
    assert ends.pop(room - 0x800) == ""
    assert ends.pop(room - 0x20).startswith("fwbuild: 45")
    assert ends == {room: f"fwbuild: 45 Multiboot 2 information too long {room + 1:08x}\n"}


def test_more_sections_than_there_is_room_for(image: Image, tmp_path: Path) -> None:
    """Their headers are part of the information: 1,700 of 40 bytes are more than 64 KiB."""
    kernel = hobby.link(hobby.HEADER2.format(tags=""), tmp_path).read_bytes()
    header, count = elf.EHDR64.parse(kernel), 1700
    header.shnum, header.shoff, header.shentsize = count, len(kernel), 40
    many = elf.EHDR64.build(header) + kernel[elf.EHDR64.sizeof() :] + bytes(count * 40)
    console = bare(image.image, {file_names.KERNEL: many}).run().console
    assert console == f"fwbuild: 45 Multiboot 2 information too long {count * 40:08x}\n"
    found = ways.report(many, "k")
    assert found and found.by_file and found.by_file.refusal
    assert f"information too long {count * 40:08x}" in str(found.by_file.refusal)


def test_no_acpi(image: Image, tmp_path: Path) -> None:
    kernel = hobby.link(hobby.HEADER2.format(tags=""), tmp_path).read_bytes()
    machine = boot(Guest("microvm,acpi=off", firmware_loads=True), image, kernel)
    found = handoff(machine)
    assert found.of(InfoTag.ACPI_OLD) is None
    assert found.of(InfoTag.ACPI_NEW) is None


def test_smbios_3(image: Image, tmp_path: Path) -> None:
    """The entry point has its numbers in other places."""
    anchor = smbios.ENTRY_30.build(
        smbios.ENTRY_30.parse(bytes(smbios.ENTRY_30.sizeof()))
        | {"anchor": smbios.ANCHOR_30, "length": smbios.ENTRY_30.sizeof(), "major": 3, "minor": 2}
    )
    tables = bytes([1, 27, 0, 1]) + bytes(25) + bytes([127, 4, 0, 2, 0, 0])
    files = {file_names.SMBIOS_ANCHOR: anchor, file_names.SMBIOS_TABLES: tables}
    kernel = hobby.link(hobby.HEADER2.format(tags=""), tmp_path).read_bytes()
    machine = emulated(Guest("pc", firmware_loads=True), image.image, kernel, files=files)
    assert MULTIBOOT2.judge(machine.state()) == []
    found = handoff(machine).of(InfoTag.SMBIOS) or b""
    assert found[:8] == bytes([3, 2]) + bytes(6)
    assert found.endswith(tables)


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("sections", [True, False])
def test_sections_of_both_classes(
    width: int, sections: bool, guest: Guest, image: Image, tmp_path: Path
) -> None:
    kernel = bytearray(hobby.link(hobby.HEADER2.format(tags=""), tmp_path, virtual=0).read_bytes())
    if width == 32:
        kernel = bytearray(hobby.elf32(bytes(kernel), tmp_path))
    if not sections:
        at = offsets(elf.EHDR64 if width == 64 else elf.EHDR)["shnum"]
        kernel[at : at + 2] = bytes(2)
    found = handoff(boot(guest, image, bytes(kernel))).of(InfoTag.ELF_SECTIONS)
    assert (found is not None) == sections


def test_notes_are_of_no_concern(guest: Guest, image: Image, tmp_path: Path) -> None:
    """Even where they lie in no file: the protocol does not ask for them."""
    kernel = bytearray(hobby.link(hobby.HEADER2.format(tags=""), tmp_path).read_bytes())
    header = elf.EHDR64.parse(bytes(kernel))
    at = header.phoff + header.phnum * header.phentsize
    row = dict.fromkeys((f.name for f in elf.PHDR64.subcons), 0)
    row |= {"type": elf.PT_NOTE, "offset": 1 << 40, "filesz": 16}
    kernel[at : at + header.phentsize] = elf.PHDR64.build(row)
    field = offsets(elf.EHDR64)["phnum"]
    kernel[field : field + 2] = (header.phnum + 1).to_bytes(2, "little")
    boot(guest, image, bytes(kernel))
