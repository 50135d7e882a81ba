"""What `fwbuild verify` shows: the memory map to scale, tables, departures with their sources."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from fwbuild import cli, protocols
from fwbuild.abi import e820
from fwbuild.abi.x86 import PAGE
from fwbuild.errors import ExitCode
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.payloads.test_kernel import build_test_bzimage16
from fwbuild.protocols.departure import Departure, by
from fwbuild.protocols.pvh import PvhHandoff
from fwbuild.protocols.verdict import verdict
from fwbuild.sizes import MIB
from fwbuild.verbs.bar import Span, bars
from fwbuild.verbs.printing import output
from fwbuild.verbs.verify_view import show
from tests.support import hobby
from tests.support.booted import emulated

TYPE = 16  # offset of `type` in an entry of a PVH map
ENTRY_SIZE = 24
MODULE_CMDLINE = 16  # offset of `cmdline_paddr` in an entry of a PVH module list


def test_a_bar_is_to_scale() -> None:
    spans = [Span(MIB, 9 * MIB, "."), Span(3 * MIB, 5 * MIB, "K"), Span(9 * MIB - 1, 9 * MIB, "T")]
    (bar,) = bars(spans, 8)
    assert (bar.start, bar.end, bar.unit, bar.text) == (MIB, 9 * MIB, MIB, "..KK...T")
    assert bar.scale == "1 MiB"


def test_the_smaller_of_two_in_a_column_is_seen() -> None:
    """A kernel before a module that begins in the same column, and a table in an initrd's."""
    kernel, module = Span(MIB + 3, MIB + 6, "K"), Span(MIB + 6, MIB + 40, "I")
    table, reserved = Span(MIB + 30, MIB + 31, "T"), Span(MIB + 60, MIB + 61, "-")
    spans = [Span(MIB, MIB + 80, "."), kernel, module, table, reserved]
    for order in (spans, spans[::-1]):
        assert [bar.text for bar in bars(order, 8)] == ["KIIT..-."]


def test_the_firmware_lies_under_what_it_leaves() -> None:
    """Over its memory, whatever the sizes: a kernel may lie where the firmware is done."""
    drawn = [(0, 8, "."), (6, 8, "-"), (0, 7, "F"), (1, 2, "T"), (2, 4, "K"), (3, 4, "H")]
    spans = [Span(MIB + start, MIB + end, letter) for start, end, letter in drawn]
    for order in (spans, spans[::-1]):
        assert [bar.text for bar in bars(order, 8)] == ["FTKHFFF-"]


@pytest.mark.parametrize("machine", ["microvm", "pc", "q35"])
def test_the_areas_of_the_firmware(
    machine: str, image: Image, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each page that it wrote lies in one, or in memory that the host gave it."""
    state = emulated(Guest(machine), image.image).state()
    found = verdict(state)
    assert found.handoff and state.writes
    areas = [(at, at + size) for _, at, size in found.firmware]
    areas += [(m.addr, m.addr + m.size) for m in found.handoff.memmap if m.type == e820.Type.NVS]
    areas += [(at, at + size) for _, at, size in found.areas]
    for at in (number * PAGE for number in state.writes):
        assert any(start < at + PAGE and at < end for start, end in areas), hex(at)
    assert "bios" not in {name for name, *_ in found.firmware}  # PVH has no BIOS calls
    show(output(), found)
    assert re.search(r"^\[F.*H.*F.*T.*-\]$", capsys.readouterr().out, re.MULTILINE)


def test_bios_calls_stay_the_firmwares(image: Image) -> None:
    state = emulated(Guest("pc"), image.image, build_test_bzimage16()).state()
    assert "bios" in {name for name, *_ in verdict(state).firmware}


def test_another_firmwares_areas_are_not_known(image: Image) -> None:
    state = emulated(Guest("pc"), image.image).state()
    assert verdict(replace(state, own=False)).firmware == []


def test_an_empty_range_is_called_so(image: Image, capsys: pytest.CaptureFixture[str]) -> None:
    """As in qboot's map: it has no last address."""
    machine = emulated(Guest("microvm"), image.image)
    handoff = protocols.read(machine.state())
    last = len(handoff.memmap) - 1
    at = handoff.areas()["memory map"][0] + last * ENTRY_SIZE
    machine.uc.mem_write(at, bytes(ENTRY_SIZE))
    state = machine.state()
    assert any("an empty one at 0x0 of type 0" in problem for problem in protocols.judge(state))
    show(output(), verdict(state))
    shown = capsys.readouterr().out
    assert "empty" in shown
    assert "-0x1" not in shown


def test_a_module_without_a_command_line(image: Image, tmp_path: Path) -> None:
    """An address of 0 is no text: what lies there is the vectors of real mode."""
    initrd = tmp_path / "initrd"
    initrd.write_bytes(b"one")
    machine = emulated(Guest("microvm", initrd=initrd), image.image)
    handoff = protocols.read(machine.state())
    assert isinstance(handoff, PvhHandoff)
    at = int(handoff.start_info.modlist_paddr) + MODULE_CMDLINE
    machine.uc.mem_write(at, bytes(8))
    machine.uc.mem_write(0, b"not a command line")
    found = [str(problem) for problem in protocols.judge(machine.state())]
    assert [problem for problem in found if "command line" in problem] == [
        "module 0: no command line, where FreeBSD reads a string"
    ]


def test_a_bar_for_each_stretch_with_ram() -> None:
    ends = [(0, e820.EBDA), (MIB, 3 << 30), (1 << 32, 5 << 30)]
    drawn = list(bars([Span(start, end, ".") for start, end in ends], 100))
    assert [bar.start for bar in drawn] == [0, MIB, 1 << 32]
    assert all(len(bar.text) <= 100 for bar in drawn)
    assert drawn[0].text.rstrip().count(".") == len(drawn[0].text.rstrip())  # no RAM up to 1 MiB
    assert len(drawn[0].text.rstrip()) < len(drawn[0].text)


def test_a_departure_keeps_its_source() -> None:
    inner = Departure("a", "its own")
    assert [(str(d), d.source) for d in by("the outer", [inner, "b"])] == [
        ("a", "its own"),
        ("b", "the outer"),
    ]


@pytest.mark.parametrize("machine", ["microvm", "pc", "q35"])
def test_every_table_is_found(machine: str, image: Image) -> None:
    """Those that QEMU's files hold; each has the checksum that its specification asks for."""
    state = emulated(Guest(machine), image.image).state()
    found = verdict(state)
    names = [table.name for table in found.tables]
    tables = state.file("etc/acpi/tables")
    wanted = {name for name in ("FACP", "APIC", "DSDT", "HPET", "MCFG") if name.encode() in tables}
    assert wanted | {"RSDP"} <= set(names)
    assert [t.name for t in found.tables if t.sound is False] == []
    assert found.segments["cs"] == (0, 0xFFFFFFFF, 0x9B)


def test_a_damaged_table_is_told(image: Image) -> None:
    machine = emulated(Guest("q35"), image.image)
    dsdt = next(t for t in verdict(machine.state()).tables if t.name == "DSDT")
    at = dsdt.address + dsdt.size - 1
    machine.uc.mem_write(at, bytes([machine.read(at, 1)[0] ^ 1]))
    assert [t.name for t in verdict(machine.state()).tables if t.sound is False] == ["DSDT"]


def test_another_firmware_may_reserve_ram(image: Image) -> None:
    """SeaBIOS keeps its tables in RAM of type 2. Ours does not, so in ours it is a departure."""
    machine = emulated(Guest("pc"), image.image)
    handoff = protocols.read(machine.state())
    index = next(i for i, m in enumerate(handoff.memmap) if m.type == e820.Type.NVS)
    at = handoff.areas()["memory map"][0] + index * ENTRY_SIZE + TYPE
    machine.uc.mem_write(at, bytes([e820.Type.RESERVED]))
    ours = protocols.judge(machine.state())
    assert any("RAM is" in problem and problem.source.startswith("ACPI") for problem in ours)
    assert protocols.judge(replace(machine.state(), own=False, writes=None)) == []


def test_another_firmware_may_not_lose_a_range(image: Image) -> None:
    machine = emulated(Guest("q35"), image.image)
    handoff = protocols.read(machine.state())
    index = next(i for i, m in enumerate(handoff.memmap) if m.addr == e820.SYSTEM_ROM)
    at = handoff.areas()["memory map"][0] + index * ENTRY_SIZE
    machine.uc.mem_write(at, (e820.SYSTEM_ROM + 0x1000).to_bytes(8, "little"))
    found = protocols.judge(replace(machine.state(), own=False))
    assert any("reserved range 0xf0000" in problem for problem in found)


def test_both_names_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for name in ("verify", "emulate"):
        assert cli.main([name, "--json", "-M", "q35"]) == ExitCode.OK
        said.append(json.loads(capsys.readouterr().out))
    assert said[0] == said[1]
    assert {area["name"] for area in said[0]["areas"]} >= {"kernel", "start_info", "memory map"}


def test_a_kernel_that_the_firmware_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """QEMU's -kernel refuses it; the initrd is a list of modules, the command line a file."""
    kernel, module = hobby.link(hobby.HEADER2.format(tags=""), tmp_path), tmp_path / "module"
    module.write_bytes(b"one")
    words = ["verify", "--kernel", str(kernel), "--initrd", f"{module} its words", "--append", "a"]
    assert cli.main([*words, "--json"]) == ExitCode.OK
    found = capsys.readouterr()
    plain = json.loads(found.out)
    assert (plain["protocol"], plain["problems"]) == ("multiboot2", [])
    assert plain["handoff"]["cmdline"] == "a"
    assert b"its words\0".hex() in json.dumps(plain["handoff"]["tags"])
    assert "by the firmware's own loader (Multiboot2 specification)" in found.err
