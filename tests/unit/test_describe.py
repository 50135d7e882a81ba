"""The verbs that describe: explain, disasm, map, errors, templates."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from fwbuild import cli
from fwbuild.errors import ExitCode
from fwbuild.explain import explain
from fwbuild.firmware import layout, stop_codes
from fwbuild.image.build import Image, build_image
from fwbuild.machines import MACHINES

# word: (kind, a part of what is said) of one of its meanings
MEANINGS = {
    "0x7000": ("RAM that the firmware uses", "memory map"),
    "0x20010": ("RAM that the firmware uses", "command line"),
    "0x510": ("I/O port", "fw_cfg: selects"),
    "0xf5": ("I/O port", "trace"),
    "0xfffffff0": ("address in the image", "reset_vector"),
    "FFFFFFF0": ("address in the image", "reset_vector"),
    "0xffff0000": ("address in the image", "unused"),
    "0xffff0": ("lower alias of the image", "reset_vector"),
    "0xf0000": ("RAM of pc and q35", "RSDP"),
    "0x9fc00": ("fixed range", "extended BIOS data area"),
    "0xa0000": ("fixed range", "VGA"),
    "0xfee00020": ("fixed range", "local APIC"),
    "0xb0000000": ("fixed range", "q35"),
    "33": ("stop code of the firmware", "e820 ranges overlap"),
    "0x33": ("stop code of the firmware", "e820 ranges overlap"),
    "67": ("exit status of QEMU", "kernel kind not supported"),
    "10": ("exit code of fwbuild", "QEMU"),
    "E820_OVERLAP": ("stop code of the firmware", "e820 ranges overlap"),
    "stop_codes.E820_OVERLAP": ("symbol of the assembly", "0x33"),
    "pvh_enter": ("routine of the image", "enter the kernel"),
    "stop_table": ("data of the image", ""),
    "cmdline": ("region", "command line"),
    "etc/e820": ("file of fw_cfg", "memory map"),
    "wake_cpus": ("key of a template", "wake every CPU"),
    "fwbuild: 35 no RAM at 0 00000000": ("stop code of the firmware", "no RAM at 0"),
}


@pytest.mark.parametrize("word", MEANINGS)
def test_a_word_is_explained(word: str, image: Image) -> None:
    kind, part = MEANINGS[word]
    said = [m.what for m in explain(word, image) if m.kind == kind]
    assert any(part in what for what in said), explain(word, image)


def test_a_line_of_the_console_tells_its_detail(image: Image) -> None:
    (meaning,) = explain("[ 1.0] fwbuild: 22 kernel outside RAM 80000000", image)
    assert meaning.facts["detail"] == "0x80000000: kernel address"


@pytest.mark.parametrize(
    "word", ["", "0x", "nonsense", "0x123456789abcdef01", "999", "0x100000000"]
)
def test_what_is_not_known_has_no_meaning(word: str, image: Image) -> None:
    assert explain(word, image) == []


def test_every_stop_is_explained_by_code_and_by_status(image: Image) -> None:
    for stop in stop_codes.STOPS:
        assert any(m.what == stop.what for m in explain(f"{stop.code:02x}", image))
        status = str(stop.code * 2 + 1)
        assert any(stop.what in m.what for m in explain(status, image) if "QEMU" in m.kind)


def test_addresses_in_the_image_are_those_of_nm(tmp_path: Path, image: Image) -> None:
    if not shutil.which("nm"):
        pytest.skip("needs nm")
    out = tmp_path / "bios.bin"
    assert cli.main(["--out", str(out)]) == ExitCode.OK
    said = subprocess.run(
        ["nm", tmp_path / "bios.elf"], check=True, capture_output=True, text=True, timeout=30
    ).stdout
    seen = 0
    for line in said.splitlines():
        address, _, name = line.split()
        if int(address, 16) >= layout.ROM.base:
            (meaning,) = (m for m in explain(f"0x{address}", image) if "image" in m.kind)
            assert meaning.what == name
            seen += 1
    assert seen > 50


def test_the_nearest_names_are_offered(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "memmap_bild"]) == ExitCode.INPUT
    error = capsys.readouterr().err
    assert "memmap_build" in error and error.count("\n") == 1


def test_a_file_is_inspected(
    tmp_path: Path, image: Image, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bios.bin"
    path.write_bytes(image.image)
    assert cli.main(["explain", str(path)]) == ExitCode.OK
    assert "universal" in capsys.readouterr().out


def test_disasm_shows_one_routine(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["disasm", "reset_vector"]) == ExitCode.OK
    by_name = capsys.readouterr().out
    assert cli.main(["disasm", "0xfffffff1"]) == ExitCode.OK
    assert capsys.readouterr().out == by_name
    assert "fffffff0" in by_name and "asm/boot/reset.s:" in by_name


def test_disasm_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["disasm", "stop_with"]) == ExitCode.OK
    _, *lines = capsys.readouterr().out.splitlines()
    assert cli.main(["disasm", "stop_with", "--json"]) == ExitCode.OK
    found = json.loads(capsys.readouterr().out)
    assert [f"{s['address']:08x}  {s['code']}" for s in found] == [
        " ".join(line.split()[:2]).replace(" ", "  ") for line in lines
    ]
    assert {s["symbol"] for s in found} == {"stop_with"}
    assert all(line.endswith(s["source"]) for line, s in zip(lines, found, strict=True))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reset_vektor"], "did you mean reset_vector"),
        (["bios_install", "--template", "linux"], "leaves 'bios_install' out"),
        (["0x1000"], "no symbol '0x1000'"),
    ],
)
def test_disasm_of_what_is_not_there(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["disasm", *arguments]) == ExitCode.INPUT
    assert words in capsys.readouterr().err


def test_the_map_is_the_file_that_a_build_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--out", str(tmp_path / "bios.bin")]) == ExitCode.OK
    capsys.readouterr()
    assert cli.main(["map"]) == ExitCode.OK
    assert capsys.readouterr().out.strip() == (tmp_path / "bios.map").read_text().strip()


def test_errors_lists_every_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["errors", "--json"]) == ExitCode.OK
    plain = json.loads(capsys.readouterr().out)
    assert [s["code"] for s in plain["stops"]] == [s.code for s in stop_codes.STOPS]
    assert [e["code"] for e in plain["exits"]] == list(ExitCode)
    assert all(e["meaning"] for e in plain["exits"])
    assert cli.main(["errors"]) == ExitCode.OK
    said = capsys.readouterr().out
    assert all(s.what in said and s.hint in said for s in stop_codes.STOPS)


def test_templates_are_listed_with_their_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["templates", "linux", "--json"]) == ExitCode.OK
    (plain,) = json.loads(capsys.readouterr().out)
    assert plain["protocols"] == ["pvh", "linux"]
    assert plain["used"] == build_image("linux").used
    assert set(plain["counts"]) == set(MACHINES)
    assert plain["counts"]["microvm"]["accesses"] < plain["counts"]["pc"]["accesses"]
