"""The judge of Multiboot 2 sees what is wrong with what a kernel is handed."""

from functools import partial
from pathlib import Path

import pytest

from fwbuild.abi import multiboot2
from fwbuild.abi.multiboot2 import HeaderTag, InfoTag
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.protocols import MULTIBOOT2
from tests.support import hobby
from tests.support.file_kernels import entered, with_modules
from tests.support.hobby import tag

pytestmark = pytest.mark.usefixtures("sandbox")
LOW = 1  # a preference

boot = partial(entered, MULTIBOOT2)


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    return with_modules(tmp_path)


# name: (tag, offset in what follows its size, bytes to put there, words of the complaint)
DEPARTURES = {
    "command line": (InfoTag.CMDLINE, 0, b"x", "the command line is"),
    "loader": (InfoTag.BOOT_LOADER_NAME, 0, b"F", "BOOT_LOADER_NAME is"),
    "memory": (InfoTag.MEMORY, 0, b"\1", "MEMORY is"),
    "map's version": (InfoTag.MMAP, 4, b"\1", "the memory map begins with"),
    "map": (InfoTag.MMAP, 16, b"\1", "memory map: 0x9ec00 overlaps"),
    "ACPI": (InfoTag.ACPI_OLD, 8, b"\0", "ACPI_OLD is"),
    "SMBIOS": (InfoTag.SMBIOS, 0, b"\x09", "SMBIOS is"),
    "load base": (InfoTag.LOAD_BASE, 2, b"\0", "LOAD_BASE is"),
    "sections": (InfoTag.ELF_SECTIONS, 0, b"\0", "ELF_SECTIONS is"),
    "a module": (InfoTag.MODULE, 1, b"\0", "module file 1 is damaged"),
    "a module's text": (InfoTag.MODULE, 8, b"x", "its command line is b'xts"),
    "a tag's type": (InfoTag.CMDLINE, -8, b"\x63", "tags of no known type: [99]"),
    "a tag twice": (InfoTag.CMDLINE, -8, b"\x02", "a tag is there twice"),
    "the end": (InfoTag.END, -4, b"\x07", "its tags take"),
    "a tag's size": (InfoTag.CMDLINE, -4, b"\x0f", "CMDLINE is"),
}


@pytest.mark.parametrize("name", DEPARTURES)
def test_judge(name: str, guest: Guest, image: Image, tmp_path: Path) -> None:
    kind, at, data, words = DEPARTURES[name]
    header = hobby.HEADER2.format(
        tags=tag(HeaderTag.RELOCATABLE, 0x300000, 0xFFFFFFFF, 0x200000, LOW)
    )
    machine = boot(guest, image, hobby.link(header, tmp_path).read_bytes())
    place = machine.outcome.registers["ebx"] + multiboot2.INFO.sizeof()
    for number, content in MULTIBOOT2.read(machine.state()).tags:
        if number == kind:
            break
        place += -(-(8 + len(content)) // 8) * 8
    machine.uc.mem_write(place + 8 + at, data)
    assert words in " / ".join(map(str, MULTIBOOT2.judge(machine.state())))


REGISTERS = {
    "EAX": ("eax", 0x2BADB002, "not the magic"),
    "EBX": ("ebx", 0xE0000000, "points nowhere"),
    "paging": ("cr0", 0x80000011, "without paging"),
    "IF": ("eflags", 0x202, "EFLAGS.IF"),
    "SS": ("ss", 0x10, "SS is not flat"),
}


@pytest.mark.parametrize("name", REGISTERS)
def test_judge_of_registers(name: str, guest: Guest, image: Image, tmp_path: Path) -> None:
    register, value, words = REGISTERS[name]
    kernel = hobby.link(hobby.HEADER2.format(tags=""), tmp_path).read_bytes()
    machine = boot(guest, image, kernel)
    machine.outcome.registers[register] = value
    assert words in " / ".join(map(str, MULTIBOOT2.judge(machine.state())))
