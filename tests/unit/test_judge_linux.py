"""The judge of a bzImage's entry finds what is wrong: each row damages one place."""

from pathlib import Path

import pytest

from fwbuild.abi import linux_boot, offsets
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.state import End
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.payloads.test_kernel import build_test_bzimage
from fwbuild.protocols import LINUX
from tests.support.booted import emulated

OFFSETS = offsets(linux_boot.BOOT_PARAMS)

# name: (field, value as it lies in memory, words of the complaint)
MEMORY = {
    "garbage before the header": ("sentinel", b"\xff", "boot_params.sentinel is not 0"),
    "screen_info": ("screen_info", b"\1", "boot_params.screen_info is not 0"),
    "EDD": ("eddbuf_entries", b"\1", "boot_params.eddbuf_entries is not 0"),
    "high initrd": ("ext_ramdisk_image", b"\1", "boot_params.ext_ramdisk_image is not 0"),
    "RSDP": ("acpi_rsdp_addr", b"\1", "ACPI: no RSDP at"),
    "magic": ("hdr.header", b"hdrS", "header: header"),
    "version": ("hdr.version", b"\0", "header: version"),
    "init_size": ("hdr.init_size", b"\1", "header: init_size"),
    "loader": ("hdr.type_of_loader", b"\0", "type_of_loader is 0"),
    "loadflags": ("hdr.loadflags", b"\x80", "LOADED_HIGH"),
    "vid_mode": ("hdr.vid_mode", b"\7", "vid_mode is"),
    "entry": ("hdr.code32_start", b"\4", "code32_start is"),
    "entry nowhere": ("hdr.code32_start", b"\0\0\0\xe0", "points nowhere"),
    "initrd address": ("hdr.ramdisk_image", b"\1", "initrd's contents are damaged"),
    "initrd nowhere": ("hdr.ramdisk_image", b"\0\0\0\xe0", "points nowhere"),
    "initrd size": ("hdr.ramdisk_size", b"\1", "the initrd has"),
    "initrd limit": ("hdr.initrd_addr_max", b"\0\0\0\1", "the initrd ends above 0x1000000"),
    "command line": ("hdr.cmd_line_ptr", b"\1", "the command line is"),
    "command line's size": ("hdr.cmdline_size", b"\1\0", "the command line is longer than 1"),
    "command line in the kernel": (
        "hdr.cmd_line_ptr", b"\0\x20\x10\0", "the command line at 0x102000 lies where"),
    "command line in no RAM": (
        "hdr.cmd_line_ptr", b"\0\0\x0f\0", "the command line at 0xf0000 is not in RAM"),
    "setup_data": ("hdr.setup_data", b"\0\0\x40\0", "setup_data is"),
    "setup_data nowhere": ("hdr.setup_data", b"\0\0\0\xe0", "points nowhere"),
    "no map": ("e820_entries", b"\0", "0 memory map entries"),
    "short map": ("e820_entries", b"\3", "holds more than e820_entries says"),
    "bad entry": ("e820_table", b"\1", "RAM is"),
    "runs outside RAM": ("hdr.pref_address", b"\0\0\0\x40", "which is not RAM"),
}  # fmt: skip


@pytest.fixture
def machine(image: Image, tmp_path: Path) -> Machine:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(b"initrd" * 1000)
    guest = Guest("pc", initrd=initrd, append="a=b")
    good = emulated(guest, image.image, build_test_bzimage())
    assert LINUX.judge(good.state()) == []
    return good


@pytest.mark.parametrize("name", MEMORY)
def test_memory(name: str, machine: Machine) -> None:
    field, value, words = MEMORY[name]
    at = machine.outcome.registers["esi"] + OFFSETS[field]
    machine.uc.mem_write(at, value)
    assert words in " / ".join(LINUX.judge(machine.state()))


REGISTERS = {
    "CS": ("cs", 0x08, "CS is 0x8, not 0x10"),
    "DS": ("ds", 0x10, "DS is not flat"),
    "ES": ("es", 0, "ES is 0x0, not 0x18"),
    "EBX": ("ebx", 1, "EBX is 0x1"),
    "EBP": ("ebp", 1, "EBP is 0x1"),
    "EDI": ("edi", 1, "EDI is 0x1"),
    "paging": ("cr0", 0x80000011, "without paging"),
    "IF": ("eflags", 0x202, "EFLAGS.IF"),
    "ESI": ("esi", 0xE0000000, "points nowhere"),
}


@pytest.mark.parametrize("name", REGISTERS)
def test_registers(name: str, machine: Machine) -> None:
    register, value, words = REGISTERS[name]
    machine.outcome.registers[register] = value
    assert words in " / ".join(LINUX.judge(machine.state()))


def test_contents(machine: Machine) -> None:
    header = LINUX.read(machine.state()).boot_params.hdr
    machine.uc.mem_write(header.code32_start, b"\0\0")
    machine.uc.mem_write(header.ramdisk_image + 5, b"\0")
    found = " / ".join(LINUX.judge(machine.state()))
    assert "the kernel is damaged" in found
    assert "the initrd's contents are damaged" in found


def test_not_entered(machine: Machine) -> None:
    machine.outcome.kind = End.HALT
    assert LINUX.judge(machine.state()) == ["the kernel was not entered: halt"]
