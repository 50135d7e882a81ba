"""A 64-bit vmlinux without a PVH note, which the firmware enters in long mode."""

from pathlib import Path

import pytest

from fwbuild import protocols
from fwbuild.abi import elf, x86
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.state import End
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import file_names, layout, stop_codes
from fwbuild.guest import Guest
from fwbuild.image.build import Image, build_image
from fwbuild.machines import MACHINES
from fwbuild.protocols import LINUX64
from fwbuild.sizes import MIB
from tests.support import cpuid, watch
from tests.support.booted import emulated
from tests.support.elf_files import BASE, LOAD, NOTES, elf_file
from tests.support.files import bare
from tests.support.vmlinux64 import SIZE, vmlinux64

pytestmark = pytest.mark.usefixtures("sandbox")
FIRST = int.from_bytes(elf.MAGIC, "little")
KERNEL = vmlinux64()


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    (tmp_path / "one").write_bytes(bytes(range(256)) * 20)
    return Guest("pc", initrd=tmp_path / "one", append="a=b c", firmware_loads=True)


@pytest.mark.parametrize("dma", [True, False])
@pytest.mark.parametrize("name", MACHINES)
def test_handoff(name: str, dma: bool, guest: Guest, image: Image, tmp_path: Path) -> None:
    """What it is handed, spelled out apart from the judge; and its 64-bit code runs."""
    guest = Guest(name, initrd=guest.initrd, append=guest.append, firmware_loads=True)
    second = {file_names.module(2): b"2" * 0x3001}  # a host's, of which Linux hears nothing
    machine = emulated(guest, image.image, KERNEL, dma=dma, files=second)
    registers = machine.outcome.registers
    assert machine.outcome.kind == End.HANDOFF, machine.outcome.console
    assert LINUX64.judge(machine.state()) == []
    assert registers["eip"] == BASE
    assert registers["efer"] == 0x500
    assert registers["cr4"] == 0x20  # PAE
    assert registers["cr3"] == layout.region("pages").base
    assert watch.idtr(machine) == watch.REAL_MODE_IDT
    assert (registers["cs"], registers["ds"], registers["ss"]) == (0x10, 0x18, 0x18)
    page = machine.read(registers["esi"], 0x1000)
    assert page[0x1FE:0x200] == b"\x55\xaa"
    assert page[0x202:0x208] == b"HdrS\x0c\x02"
    assert page[0x210:0x212] == b"\xff\x01"
    assert machine.read(int.from_bytes(page[0x228:0x22C], "little"), 6) == b"a=b c\0"
    start, size = (int.from_bytes(page[at : at + 4], "little") for at in (0x218, 0x21C))
    assert machine.read(start, size) == (tmp_path / "one").read_bytes()
    outcome = machine.run_kernel()
    assert (outcome.kind, outcome.exit_value) == (End.EXIT, 1)


def test_neither_initrd_nor_command_line(image: Image) -> None:
    machine = emulated(Guest("q35", firmware_loads=True), image.image, KERNEL)
    assert LINUX64.judge(machine.state()) == []
    handoff = LINUX64.read(machine.state())
    assert handoff.cmdline == b""
    assert handoff.boot_params.hdr.ramdisk_size == handoff.boot_params.hdr.ramdisk_image == 0


@pytest.mark.parametrize("memory", [3072 * MIB, 8192 * MIB])
def test_memory_above_4_gib(memory: int, guest: Guest, image: Image) -> None:
    guest = Guest("q35", memory, initrd=guest.initrd, firmware_loads=True)
    assert LINUX64.judge(emulated(guest, image.image, KERNEL).state()) == []


def test_a_kernel_just_above_1_mib_and_one_at_16_mib(image: Image) -> None:
    for base in (1 * MIB, 16 * MIB):
        machine = emulated(
            Guest("microvm", firmware_loads=True), image.image, vmlinux64(bytes(16), base)
        )
        assert machine.outcome.registers["eip"] == base
        assert LINUX64.judge(machine.state()) == []


# a file, its stop, and the stop's detail
STOPS = {
    "32-bit": (elf_file([LOAD], bits=32), "KERNEL_FILE", FIRST),
    "entry before it": (vmlinux64(entry=BASE - 1), "KERNEL_ENTRY", BASE),
    "entry behind it": (vmlinux64(entry=BASE + SIZE), "KERNEL_ENTRY", BASE),
    "entry 0": (vmlinux64(entry=0), "KERNEL_ENTRY", 0),
    "entry above 4 GiB": (vmlinux64(entry=BASE + (1 << 32)), "KERNEL_ENTRY", 0),
    "a virtual entry": (vmlinux64(entry=0xFFFFFFFF81000000), "KERNEL_ENTRY", 0),
    "below 1 MiB": (vmlinux64(base=0x8000), "KERNEL_OVERLAP", 0x8000),
    "over the page tables": (
        vmlinux64(base=layout.region("pages").base), "KERNEL_OVERLAP", layout.region("pages").base),
    "outside RAM": (vmlinux64(base=1 << 29), "KERNEL_RANGE", 1 << 29),
    "no program headers": (vmlinux64(phnum=0), "KERNEL_ELF", 0),
}  # fmt: skip


@pytest.mark.parametrize("name", STOPS)
def test_stop(name: str, image: Image) -> None:
    kernel, stop, detail = STOPS[name]
    machine = bare(image.image, {file_names.KERNEL: kernel})
    outcome = machine.run()
    found = stop_codes.BY_NAME[stop]
    assert outcome.console == f"fwbuild: {found.code:02x} {found.what} {detail:08x}\n"
    assert max(machine.writes) < 0xA0  # pages: only below 1 MiB


def test_a_cpu_without_long_mode(image: Image) -> None:
    machine = bare(image.image, {file_names.KERNEL: KERNEL})
    cpuid.answer(machine, {(x86.CPUID_EXTENDED_FEATURES, 0): (0, 0, 0, 0)})
    assert machine.run().exit_value == stop_codes.BY_NAME["KERNEL_FILE"].code


def test_a_note_goes_first(image: Image) -> None:
    """Where both ways lead into the kernel."""
    kernel = elf_file([LOAD, NOTES])
    machine = emulated(Guest("pc", firmware_loads=True), image.image, kernel)
    assert machine.outcome.registers["efer"] == 0
    assert protocols.PVH.judge(machine.state()) == []


def test_an_image_without_it() -> None:
    found = build_image("universal", protocols=["pvh", "linux"])
    outcome = bare(found.image, {file_names.KERNEL: KERNEL}).run()
    assert outcome.exit_value == stop_codes.BY_NAME["KERNEL_FILE"].code
    assert not any(name.startswith("linux64") for name in found.linked.addresses)


def test_qemus_way_refuses_it() -> None:
    with pytest.raises(FwbuildError, match="PVH"):
        LINUX64.load(Guest(), recording.find(Guest()), KERNEL, "k")
    with pytest.raises(FwbuildError, match="entry lies above 4 GiB") as raised:
        LINUX64.place(vmlinux64(entry=1 << 32), "k", 512 * MIB)
    assert raised.value.code == ExitCode.KERNEL
    with pytest.raises(FwbuildError, match="no ELF file"):
        LINUX64.entries(b"none", "k")
    assert LINUX64.entries(KERNEL, "k") == {"64-bit": BASE}
    assert LINUX64.report(KERNEL).facts["elf_entry"] == BASE


# name: (where in memory, bytes, words of the complaint)
AT = {name: layout.region(name).base for name in ("setup", "pages", "cmdline", "pvh")}
DAMAGE = {
    "the top table": (AT["pages"], b"\1", "an entry of a table is"),
    "a table that is not there": (AT["pages"] + 0x1008, b"\0", "an entry of a table is 0x"),
    "a page": (AT["pages"] + 0x2000 + 8 * 1023, b"\x81", "the entry of 0x7fe00000 is"),
    "the last page": (AT["pages"] + 0x6000 - 8, bytes(8), "the entry of 0xffe00000 is"),
    "the tables nowhere": (AT["pages"] + 3, b"\xe0", "points nowhere"),
    "loader": (AT["setup"] + 0x210, b"\0", "header: type_of_loader is 0"),
    "a field that nobody fills": (AT["setup"] + 0x238, b"\1", "header: cmdline_size is 1"),
    "the sentinel": (AT["setup"] + 0x1EF, b"\1", "boot_params.sentinel is not 0"),
    "the command line": (AT["cmdline"], b"x", "the command line is b'x=b c'"),
    "the initrd's size": (AT["setup"] + 0x21C, b"\1", "module file 1 is damaged"),
    "no initrd": (AT["setup"] + 0x21C, bytes(4), "0 modules of 1 files"),
    "the kernel": (BASE + SIZE - 1, b"\1", "segment at 0x100000 is damaged"),
    "the command line in the kernel": (
        AT["setup"] + 0x228, (BASE + SIZE - 8).to_bytes(4, "little"), "lies in the kernel"),
    "the command line in boot_params": (
        AT["setup"] + 0x228, (AT["setup"] + 8).to_bytes(4, "little"), "overlap at"),
    "the command line in no RAM": (
        AT["setup"] + 0x228, (0xF8000).to_bytes(4, "little"), "the command line at 0xf8000 is not"),
    "a 32-bit code segment": (
        AT["pvh"] + 0x38 + 0x16, b"\xcf", "CS is not flat"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_the_judge_sees_damage(name: str, guest: Guest, image: Image) -> None:
    at, data, words = DAMAGE[name]
    machine = emulated(guest, image.image, KERNEL)
    machine.uc.mem_write(at, data)
    assert words in " / ".join(LINUX64.judge(machine.state()))


REGISTERS = {
    "cs": (0x18, "CS is 0x18, not 0x10"),
    "ds": (0x10, "DS is 0x10, not 0x18"),
    "cr0": (x86.Cr0.PE, "CR0 is 0x1: no long mode"),
    "cr4": (0, "CR4 is 0x0: no long mode"),
    "efer": (0x100, "EFER is 0x100: no long mode"),
    "eflags": (0x202, "EFLAGS.IF is set"),
    "cr3": (0xE0000000, "points nowhere"),
    "esi": (0xE0000000, "points nowhere"),
}


@pytest.mark.parametrize("name", REGISTERS)
def test_the_judge_sees_registers(name: str, image: Image) -> None:
    value, words = REGISTERS[name]
    machine: Machine = emulated(Guest("pc", firmware_loads=True), image.image, KERNEL)
    machine.outcome.registers[name] = value
    assert words in " / ".join(LINUX64.judge(machine.state()))
