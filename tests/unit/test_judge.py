"""The judge finds what is wrong: each row damages a good handoff in one place."""

from dataclasses import replace
from pathlib import Path

import pytest
from construct import Struct

from fwbuild.abi import acpi, offsets, pvh
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.state import Hidden
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.protocols import PVH
from tests.support.booted import emulated
from tests.support.files import put_files

INFO, MODULE, ENTRY = pvh.START_INFO, pvh.MODLIST_ENTRY, pvh.MEMMAP_ENTRY

# name: (structure, index, field, value, words of the complaint)
MEMORY: dict[str, tuple[Struct, int, str, int, str]] = {
    "magic": (INFO, 0, "magic", 0, "start_info.magic"),
    "version": (INFO, 0, "version", 0, "start_info.version"),
    "flags": (INFO, 0, "flags", 1, "start_info.flags"),
    "reserved": (INFO, 0, "reserved", 1, "start_info.reserved"),
    "RSDP": (INFO, 0, "rsdp_paddr", 0, "the RSDP is said to be at 0x0"),
    "RSDP elsewhere": (INFO, 0, "rsdp_paddr", 0xF8000, "no RSDP"),
    "RSDP in no memory": (INFO, 0, "rsdp_paddr", 0xDEADBEEF, "a table points nowhere"),
    "tables as RAM": (ENTRY, 4, "type", 1, "is outside its zone"),
    "no modules": (INFO, 0, "nr_modules", 0, "modlist_paddr is set"),
    "two modules": (INFO, 0, "nr_modules", 2, "1 modules of 0 files"),
    "command line": (INFO, 0, "cmdline_paddr", 0x2000, "the command line is"),
    "map elsewhere": (INFO, 0, "memmap_paddr", 0xFFFFF000, "memory map"),
    "map in no memory": (INFO, 0, "memmap_paddr", 0xE0000000, "points nowhere"),
    "short map": (INFO, 0, "memmap_entries", 2, "RAM is"),
    "127 entries": (INFO, 0, "memmap_entries", 127, "127 memory map entries"),
    "module address": (MODULE, 0, "paddr", 0x1000000, "not the initrd"),
    "module size": (MODULE, 0, "size", 1, "not the initrd"),
    "module reserved": (MODULE, 0, "reserved", 1, "module 0: reserved"),
    "module without text": (MODULE, 0, "cmdline_paddr", 0, "no command line"),
    "module with odd text": (MODULE, 0, "cmdline_paddr", 0xE0000000, "is not empty"),
    "entry size": (ENTRY, 0, "size", 0, "bad entry"),
    "entry type": (ENTRY, 1, "type", 7, "reserved ranges"),
    "entry reserved": (ENTRY, 1, "reserved", 1, "bad entry"),
    "entries overlap": (ENTRY, 1, "addr", 0x9F000, "overlaps or is out of order"),
    "lost range": (ENTRY, 5, "size", 0x1000, "reserved ranges"),
}


@pytest.fixture
def machine(image: Image, tmp_path: Path) -> Machine:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(b"initrd" * 1000)
    good = emulated(Guest("pc", initrd=initrd, append="a=b"), image.image)
    assert PVH.judge(good.state()) == []
    return good


@pytest.mark.parametrize("name", MEMORY)
def test_memory(name: str, machine: Machine) -> None:
    struct, index, field, value, words = MEMORY[name]
    ebx = machine.outcome.registers["ebx"]
    info = INFO.parse(machine.read(ebx, INFO.sizeof()))
    tables = {id(INFO): ebx, id(MODULE): info.modlist_paddr, id(ENTRY): info.memmap_paddr}
    at = tables[id(struct)] + index * struct.sizeof()
    entry = struct.parse(machine.read(at, struct.sizeof()))
    assert field in offsets(struct)
    entry[field] = value
    machine.uc.mem_write(at, struct.build(entry))
    assert words in " / ".join(PVH.judge(machine.state()))


REGISTERS = {
    "CR0.PG": ("cr0", 0x80000011, "CR0"),
    "CR0.CD": ("cr0", 0x40000011, "CR0"),
    "CR4": ("cr4", 0x20, "CR4"),
    "IF": ("eflags", 0x202, "EFLAGS.IF"),
    "CS is data": ("cs", 0x18, "CS is not flat"),
    "DS is null": ("ds", 0, "DS is not flat"),
    "SS is code": ("ss", 0x10, "SS is not flat"),
}


@pytest.mark.parametrize("name", REGISTERS)
def test_registers(name: str, machine: Machine) -> None:
    register, value, words = REGISTERS[name]
    machine.outcome.registers[register] = value
    assert words in " / ".join(PVH.judge(machine.state()))


@pytest.mark.parametrize(("selector", "words"), [(0, "never loaded"), (0x18, "not a 32-bit TSS")])
def test_task_register(selector: int, words: str, machine: Machine) -> None:
    machine.outcome.tr = selector
    assert words in " / ".join(PVH.judge(machine.state()))


def test_gdt_in_no_memory(machine: Machine) -> None:
    machine.outcome.gdtr = (0xE0000000, 31)
    assert "points nowhere" in " / ".join(PVH.judge(machine.state()))


def test_damage(machine: Machine) -> None:
    assert machine.loaded
    machine.uc.mem_write(machine.loaded.entry, b"\0")
    assert "segment at 0x100000 is damaged" in " / ".join(PVH.judge(machine.state()))


@pytest.mark.parametrize("address", [0, 0xE0000000])
def test_rsdt_elsewhere(address: int, machine: Machine) -> None:
    """A pointer below what the host added to it leads nowhere, as one beyond all memory does."""
    rsdp = PVH.read(machine.state()).start_info.rsdp_paddr
    at = rsdp + offsets(acpi.RSDP)["rsdt_address"]
    machine.uc.mem_write(at, address.to_bytes(4, "little"))
    assert "ACPI: " in " / ".join(PVH.judge(machine.state()))


def test_modules_left_out(machine: Machine) -> None:
    put_files(machine, {"opt/fwbuild/module/1": b"file"})
    assert PVH.judge(machine.state()) == [
        "0 modules of 1 files: an image without the option `modules` leaves them out"
    ]


def test_module_nowhere(machine: Machine) -> None:
    module = PVH.read(machine.state()).modules[0]
    put_files(machine, {"opt/fwbuild/module/1": b"file"})
    state = replace(machine.state(), items={})  # no initrd: the module stands for the file
    at = PVH.read(state).start_info.modlist_paddr
    machine.uc.mem_write(at, MODULE.build(module | {"paddr": 0xE0000000, "size": 4}))
    assert "points nowhere" in " / ".join(PVH.judge(state))


FLAT = {
    name: Hidden(0, 0xFFFFFFFF, 0x9B if name == "cs" else 0x93) for name in ("cs", "ds", "es", "ss")
}
SEEN = {**FLAT, "tr": Hidden(0, 0x67, 0x8B)}
# what a debugger shows of the CPU: (register, its hidden part, words of the complaint)
HIDDEN = {
    "CS based": ("cs", Hidden(0xFFFF0000, 0xFFFFFFFF, 0x9B), "the CPU's CS is not flat"),
    "DS of 64 KiB": ("ds", Hidden(0, 0xFFFF, 0x93), "the CPU's DS is not flat"),
    "SS is code": ("ss", Hidden(0, 0xFFFFFFFF, 0x9B), "the CPU's SS is not flat"),
    "TR not busy": ("tr", Hidden(0, 0x67, 0x89), "the CPU's TR is not a 32-bit TSS"),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_parts(name: str, machine: Machine) -> None:
    register, hidden, words = HIDDEN[name]
    assert PVH.judge(replace(machine.state(), hidden=SEEN)) == []
    found = PVH.judge(replace(machine.state(), hidden=SEEN | {register: hidden}))
    assert len(found) == 1
    assert words in found[0]
