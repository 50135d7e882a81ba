"""The image's line table, as programs that are not ours read it."""

import io
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from elftools.dwarf.dwarfinfo import DWARFInfo
from elftools.elf.elffile import ELFFile

from fwbuild.assembler.source import strip_comment
from fwbuild.files import data_dir
from fwbuild.image import artefacts
from fwbuild.image.build import Image, build_image
from fwbuild.image.copies import places
from tests.conftest import need

Lines = dict[int, str]  # "file:line" of the instruction at an address


@pytest.fixture(scope="module")
def fullest() -> Image:
    """The image with the most routines, those that run in RAM included."""
    return build_image("all-cpus")


@pytest.fixture(scope="module")
def elf(fullest: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("elf") / "bios.elf"
    path.write_bytes(artefacts.elf(fullest))
    return path


@pytest.fixture(scope="module")
def dwarf(elf: Path) -> DWARFInfo:
    return ELFFile(io.BytesIO(elf.read_bytes())).get_dwarf_info()


@pytest.fixture(scope="module")
def lines(fullest: Image) -> Lines:
    """The assembler's lines, wherever the code runs."""
    linked = fullest.linked
    return {
        at + encoded.address - linked.addresses[f.name]: encoded.statement.where
        for f in linked.fragments
        if f.contract.kind != "data"
        for at in places(linked, f.name)
        for encoded in linked.lines[f.name]
    }


def ran(*argv: str | Path, stdin: str = "") -> str:
    if not shutil.which(argv[0]):
        need(str(argv[0]))
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=True)
    assert "warning" not in done.stderr.lower()
    return done.stdout


def test_some_code_runs_in_ram(lines: Lines) -> None:
    assert {at < 1 << 20 for at in lines} == {False, True}


def test_lines_by_pyelftools(dwarf: DWARFInfo, lines: Lines) -> None:
    (unit,) = dwarf.iter_CUs()
    program = dwarf.line_program_for_CU(unit)
    names = [entry.name.decode() for entry in program["file_entry"]]
    states = [entry.state for entry in program.get_entries() if entry.state]
    found = {s.address: f"{names[s.file - 1]}:{s.line}" for s in states if not s.end_sequence}
    assert found == lines


def test_lines_by_readelf(elf: Path, lines: Lines) -> None:
    text = ran("readelf", "--debug-dump=decodedline", "--wide", elf)
    rows = re.findall(r"^(asm\S+) +(\d+) +0x([0-9a-f]+) .*x$", text, re.MULTILINE)
    assert {int(at, 16): f"{file}:{line}" for file, line, at in rows} == lines


def test_lines_by_addr2line(elf: Path, lines: Lines) -> None:
    asked = "".join(f"{at:#x}\n" for at in lines)
    found = ran("addr2line", "-e", elf, stdin=asked).splitlines()
    assert [re.sub(r" \(discriminator.*", "", row) for row in found] == list(lines.values())


def test_lines_by_gdb(fullest: Image, elf: Path, lines: Lines) -> None:
    """The first instruction of each routine."""
    linked = fullest.linked
    firsts = [a for f in linked.fragments for a in places(linked, f.name) if a in lines]
    asked = elf.with_name("asked")
    asked.write_text("".join(f"info line *{at:#x}\n" for at in firsts))
    text = ran("gdb", "-nx", "-batch", "-x", asked, elf)
    found = re.findall(r'^Line (\d+) of "(.+?)"', text, re.MULTILINE)
    assert [f"{file}:{line}" for line, file in found] == [lines[at] for at in firsts]


def test_the_source_has_the_statement_there(fullest: Image) -> None:
    """But for a macro's, which has the line of its use, and the numbers of a repetition."""
    sources: dict[str, list[str]] = {}
    checked = 0
    for fragment in fullest.linked.fragments:
        for encoded in fullest.linked.lines[fragment.name]:
            statement = encoded.statement
            if statement.line == 0:  # made from a declaration
                continue
            if statement.file not in sources:
                path = data_dir("asm").parent / statement.file
                sources[statement.file] = path.read_text().splitlines()
            text = strip_comment(sources[statement.file][statement.line - 1])
            if (text.startswith(".") and not text.startswith(".att")) or "\\+" in text:
                continue
            assert " ".join(text.split()) == statement.text, statement.where
            checked += 1
    assert checked > 1000


def entries(dwarf: DWARFInfo, tag: str) -> Iterator[tuple[int, str]]:
    """The address and the name of each entry of a kind."""
    (unit,) = dwarf.iter_CUs()
    for die in unit.iter_DIEs():
        if die.tag == tag:
            yield die.attributes["DW_AT_low_pc"].value, die.attributes["DW_AT_name"].value.decode()


def test_routines_and_labels(fullest: Image, dwarf: DWARFInfo) -> None:
    linked = fullest.linked
    routines = [f.name for f in linked.fragments if f.contract.kind != "data"]
    placed = [(at, name) for name in routines for at in places(linked, name)]
    assert sorted(entries(dwarf, "DW_TAG_subprogram")) == sorted(placed)
    inner = [(at + o, n) for at, name in placed for n, o in linked.labels[name].items()]
    assert sorted(entries(dwarf, "DW_TAG_label")) == sorted(inner)


def test_a_label_is_a_place_for_a_breakpoint(fullest: Image, elf: Path) -> None:
    at = fullest.linked.addresses["main"] + fullest.linked.labels["main"][".acpi"]
    text = ran("gdb", "-nx", "-batch", "-ex", "break main:.acpi", elf)
    assert f"Breakpoint 1 at {at:#x}: file asm/boot/main.s" in text


@pytest.mark.parametrize("value", [0, 1, 127, 128, 624485, 0xFFFFFFFF, -1, -64, -65, -123456])
def test_numbers_of_variable_length(value: int) -> None:
    """Against pyelftools' own decoder."""
    from elftools.common.construct_utils import SLEB128, ULEB128  # noqa: PLC0415

    from fwbuild.image import dwarf as ours  # noqa: PLC0415

    assert SLEB128("").parse(ours._signed(value)) == value
    if value >= 0:
        assert ULEB128("").parse(ours._unsigned(value)) == value
