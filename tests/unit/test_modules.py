"""Modules that the user numbers in fw_cfg, for a PVH kernel."""

from pathlib import Path

import pytest

from fwbuild import protocols
from fwbuild.abi import e820
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.firmware import file_names, layout, stop_codes, work
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import build_test_kernel
from fwbuild.protocols import PVH
from fwbuild.protocols.pvh import PvhHandoff
from fwbuild.sizes import MIB
from tests.support.booted import emulated
from tests.support.files import put_files


def name(number: int) -> str:
    return f"opt/fwbuild/module/{number}"


def boot(guest: Guest, image: Image, files: dict[str, bytes], dma: bool = True) -> Machine:
    return emulated(guest, image.image, files=files, dma=dma)


def handoff(machine: Machine) -> PvhHandoff:
    return PVH.read(machine.state())


def test_name() -> None:
    assert name(1) == file_names.MODULE
    assert len(name(9)) + 1 <= work.MODULE_NAME_SIZE


@pytest.mark.parametrize("dma", [True, False])
@pytest.mark.parametrize("initrd_size", [0, 500])
@pytest.mark.parametrize("machine_name", MACHINES)
def test_modules_follow_the_initrd(
    machine_name: str, initrd_size: int, dma: bool, image: Image, tmp_path: Path
) -> None:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(b"i" * initrd_size)
    contents = [b"one" * 300, b"2", bytes(range(256)) * 17, b"four"]
    files = {name(i): data for i, data in enumerate(contents, 1)}
    guest = Guest(machine_name, initrd=initrd if initrd_size else None)
    machine = boot(guest, image, files, dma)
    assert PVH.judge(machine.state()) == []
    found = handoff(machine)
    wanted = [b"i" * initrd_size] * bool(initrd_size) + contents
    assert [machine.read(m.paddr, m.size) for m in found.modules] == wanted
    assert all(m.paddr % 4096 == 0 for m in found.modules)
    ram = [(m.addr, m.addr + m.size) for m in found.memmap if m.type == e820.Type.RAM]
    for module in found.modules:
        assert any(a <= module.paddr and module.paddr + module.size <= b for a, b in ram)
    assert machine.run_kernel().console.count("\nmodule ") == len(wanted)


def test_numbers_end_at_the_first_that_is_missing(image: Image) -> None:
    files = {name(i): bytes([i]) for i in (1, 2, 4)}
    assert [m.size for m in handoff(boot(Guest("pc"), image, files)).modules] == [1, 1]


def test_nine_are_the_most(image: Image) -> None:
    files = {name(i): bytes([i]) * i for i in range(1, 12)} | {"opt/fwbuild/module/:": b"x"}
    assert [m.size for m in handoff(boot(Guest("q35"), image, files)).modules] == [*range(1, 10)]


def test_they_lie_as_high_as_they_can(image: Image) -> None:
    """In whole pages, below ACPI's tables."""
    found = handoff(boot(Guest(), image, {name(1): bytes(5000), name(2): b"x"}))
    tables = min(m.addr for m in found.memmap if m.type == e820.Type.NVS)
    assert [m.paddr for m in found.modules] == [tables - 0x2000, tables - 0x3000]


def test_a_module_without_a_command_line_takes_no_room_for_one(image: Image) -> None:
    machine = boot(Guest("pc"), image, {name(1): b"one", name(2): b"two"})
    texts = layout.region("texts")
    for module in handoff(machine).modules:
        assert not texts.base <= module.cmdline_paddr < texts.end
        assert machine.read(module.cmdline_paddr, 1) == b"\0"


def test_an_empty_file_is_a_module(image: Image) -> None:
    found = handoff(boot(Guest("pc"), image, {name(1): b"", name(2): b"x"}))
    assert [m.size for m in found.modules] == [0, 1]


@pytest.mark.parametrize("size", [512 * MIB, 511 * MIB, 0xFFFFFFFF])
def test_no_room(size: int, image: Image) -> None:
    found = recording.find(Guest("pc"))
    machine = Machine(image.image, found, protocols.load(Guest("pc"), found, build_test_kernel()))
    put_files(machine, {name(1): b"x"})
    directory = machine.fw_cfg.items[Key.FILE_DIR]
    at = directory.index(name(1).encode()) - 8
    machine.fw_cfg.items[Key.FILE_DIR] = (
        directory[:at] + size.to_bytes(4, "big") + directory[at + 4 :]
    )
    outcome = machine.run()
    assert outcome.exit_value == stop_codes.BY_NAME["NO_ROOM"].code


def test_the_judge_sees_damage(image: Image) -> None:
    machine = boot(Guest("pc"), image, {name(1): b"content", name(2): b"more"})
    found = handoff(machine)
    machine.uc.mem_write(found.modules[1].paddr, b"M")
    assert "module file 2 is damaged" in PVH.judge(machine.state())
    machine.uc.mem_write(found.start_info.modlist_paddr, (0x100000).to_bytes(8, "little"))
    assert any("a module overlaps" in p for p in PVH.judge(machine.state()))
