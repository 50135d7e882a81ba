"""The whole firmware in the emulated machine: what a PVH kernel is handed."""

from pathlib import Path
from typing import Any

import pytest

from fwbuild import protocols
from fwbuild.abi import e820, pci, pvh, x86
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.firmware import layout
from fwbuild.guest import Guest
from fwbuild.image.build import Image, build_image
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import build_test_kernel
from fwbuild.protocols import PVH
from fwbuild.sizes import MIB
from tests.support.booted import SIZES, emulated


@pytest.mark.parametrize("megabytes", SIZES)
@pytest.mark.parametrize("name", MACHINES)
def test_memory_sizes(name: str, megabytes: int, image: Image, tmp_path: Path) -> None:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(bytes(range(256)) * 4097)
    guest = Guest(name, megabytes * MIB, initrd=initrd, append="console=ttyS0 a=b")
    machine = emulated(guest, image.image)
    assert PVH.judge(machine.state()) == []
    # microvm has no bus 0: the look for a host bridge is all that nothing answers
    probe = [pci.CONFIG_ADDRESS, pci.CONFIG_DATA] if name == "microvm" else []
    assert [a.port for a in machine.outcome.unclaimed] == probe
    handoff = PVH.read(machine.state())
    # the host's RAM, less the kilobytes from the EBDA to 1 MiB; tables are in some of it
    ram = sum(m.size for m in handoff.memmap if m.type in (e820.Type.RAM, e820.Type.NVS))
    assert ram == megabytes * MIB - (e820.EXTENDED - e820.EBDA)


CASES: dict[str, dict[str, Any]] = {
    "no initrd, no command line": {},
    "by port": {"dma": False},
    "memory of zeros": {"poison": 0},
    "memory of ones": {"poison": 0xFF},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("template", ["universal", "linux"])
def test_cases(name: str, case: str, template: str) -> None:
    machine = emulated(Guest(name), build_image(template).image, **CASES[case])
    assert PVH.judge(machine.state()) == []
    handoff = PVH.read(machine.state())
    assert handoff.cmdline == b""
    assert handoff.start_info.modlist_paddr == handoff.start_info.nr_modules == 0


@pytest.mark.parametrize("name", MACHINES)
def test_a_note_of_8_bytes(name: str, image: Image) -> None:
    machine = emulated(Guest(name), image.image, build_test_kernel(8))
    assert PVH.judge(machine.state()) == []


@pytest.mark.parametrize("length", [0, 1, 255, 256, 2047, 4096, 65531])
def test_command_lines(length: int, image: Image) -> None:
    text = ("x" * 9 + " ") * 7000
    machine = emulated(Guest(append=text[:length]), image.image)
    assert PVH.judge(machine.state()) == []
    handoff = PVH.read(machine.state())
    assert handoff.cmdline == text[:length].encode()


def test_registers(image: Image) -> None:
    """The state that Xen's document asks for, spelled out apart from the judge."""
    machine = emulated(Guest("pc"), image.image)
    registers = machine.outcome.registers
    assert registers["cr0"] == 0x11
    assert registers["cr4"] == 0
    assert registers["eflags"] & 0x20300 == 0  # VM, IF, TF
    base, limit = machine.outcome.gdtr
    table = machine.read(base, limit + 1)
    flat = {"cs": bytes.fromhex("ffff0000009bcf00"), "ds": bytes.fromhex("ffff00000093cf00")}
    for name in ("cs", "ds", "es", "ss"):
        selector = registers[name]
        assert table[selector : selector + 8] == flat.get(name, flat["ds"])
    tr = machine.outcome.tr
    assert table[tr : tr + 4] == bytes.fromhex("67000000")
    assert table[tr + 5] in (x86.Access.TSS32, x86.Access.TSS32_BUSY)
    assert limit + 1 == 4 * 8
    assert layout.region("pvh").base <= base < layout.region("pvh").end


def test_test_kernel_reports(image: Image) -> None:
    machine = emulated(Guest("q35", append="hello"), image.image)
    outcome = machine.run_kernel()
    assert outcome.kind == "exit"
    assert outcome.exit_value == 1
    assert "cmdline hello\n" in outcome.console
    assert outcome.console == outcome.serial
    assert f"magic   {pvh.START_INFO_MAGIC:08x}" in outcome.console


def test_dma_is_one_access_a_transfer(image: Image, tmp_path: Path) -> None:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(bytes(MIB))
    machine = emulated(Guest(initrd=initrd, append="a"), image.image)
    accesses = machine.outcome.accesses
    assert [a.port for a in accesses if a.port != 0x518] == [0xCF8, 0xCFC]
    # directory, e820, six numbers, command line, initrd, ACPI's script and two files
    assert len(accesses) == 2 + 13


def test_more_files_than_one_piece(image: Image) -> None:
    """The directory may be longer than what one transfer reads."""
    found = recording.find(Guest())
    filler = [recording.File(f"opt/{i:04}", 0x100 + i, 1, b"x") for i in range(300)]
    found.files = filler + found.files
    loaded = protocols.load(Guest(), found, build_test_kernel())
    machine = Machine(image.image, found, loaded)
    machine.run()
    assert PVH.judge(machine.state()) == []
    assert Key.FILE_DIR in machine.fw_cfg.items
