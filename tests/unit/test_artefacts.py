"""The image and what lies beside it, read by tools that are not ours."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from fwbuild import docs, files
from fwbuild.abi import fields
from fwbuild.errors import FwbuildError
from fwbuild.firmware import layout
from fwbuild.image import artefacts, template
from fwbuild.image.build import Image, build_image
from fwbuild.payloads.test_kernel import build_test_kernel
from tests.conftest import need

FILES = ("bios.bin", "bios.map", "bios.lst", "bios.elf", "bios.json")


def test_image_is_a_rom(image: Image) -> None:
    assert len(image.image) == 0x10000
    assert image.image[0xFFF0] == 0xE9  # jmp rel16, the reset vector
    used = image.image[image.start - layout.ROM.base :]
    assert len(used) == image.used
    assert not any(image.image[: -image.used])


@pytest.mark.parametrize("name", template.names())
def test_budget(name: str) -> None:
    built = build_image(name)
    assert built.used <= built.template.budget


def test_builds_are_identical(tmp_path: Path, image: Image) -> None:
    artefacts.write(image, tmp_path / "here" / "bios.bin")
    environment = os.environ | {
        "TZ": "Asia/Tokyo",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "7",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    subprocess.run(
        [sys.executable, "-m", "fwbuild", "--out", "there/bios.bin"],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
    )
    for name in FILES:
        here, there = ((tmp_path / place / name).read_bytes() for place in ("here", "there"))
        assert here == there, name
        assert str(tmp_path).encode() not in here


def test_json_tells_the_map(tmp_path: Path, image: Image) -> None:
    artefacts.write(image, tmp_path / "bios.bin")
    plain = json.loads((tmp_path / "bios.json").read_text())
    assert plain["used"] + plain["free"] == plain["size"]
    text = (tmp_path / "bios.map").read_text()
    for entry in plain["rom"]:
        assert re.search(
            rf"^{entry['address']:08x} +{entry['size']} .*\b{entry['name']}\b", text, re.MULTILINE
        )


def test_listing_has_every_byte(image: Image) -> None:
    text = artefacts.listing(image)
    code = re.findall(r"^[0-9a-f]{8}  ([0-9a-f]+)  ", text, re.MULTILINE)
    shown = sum(len(lines) for lines in image.linked.lines.values())
    assert len(code) + text.count("..  ") == shown
    assert "asm/protocols/pvh.s:" in text


def test_elf_symbols(image: Image) -> None:
    elf = ELFFile(io.BytesIO(artefacts.elf(image)))
    assert elf.get_machine_arch() == "x86"
    assert elf.header["e_entry"] == 0xFFFFFFF0
    symbols = {s.name: s["st_value"] for s in elf.get_section_by_name(".symtab").iter_symbols()}
    assert image.linked.addresses.items() <= symbols.items()
    text = elf.get_section_by_name(".text")
    assert text.data() == image.image[-image.used :]


@pytest.mark.parametrize("program", ["nm", "readelf", "gdb"])
def test_elf_in_other_tools(program: str, image: Image, tmp_path: Path) -> None:
    if not shutil.which(program):
        if program == "gdb":
            pytest.skip("needs gdb")
        need(program)
    path = tmp_path / "bios.elf"
    path.write_bytes(artefacts.elf(image))
    address = image.linked.addresses["main"]
    commands: dict[str, tuple[list[str | Path], str]] = {
        "nm": (["nm", path], f"{address:08x} T main"),
        "readelf": (["readelf", "-hlSW", path], "Intel 80386"),
        "gdb": (["gdb", "-nx", "-batch", "-ex", "info address main", path], f"{address:#x}"),
    }
    argv, wanted = commands[program]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert wanted in done.stdout
    assert "warning" not in done.stderr.lower()


@pytest.mark.parametrize("width", [4, 8])
def test_test_kernel_has_a_note(width: int) -> None:
    elf = ELFFile(io.BytesIO(build_test_kernel(width)))
    (note,) = [n for s in elf.iter_segments("PT_NOTE") for n in s.iter_notes()]
    assert (note["n_name"], note["n_type"], note["n_descsz"]) == ("Xen", 18, width)
    assert int.from_bytes(note["n_descdata"], "little") == elf.header["e_entry"]


@pytest.mark.parametrize("name", docs.DOCUMENTS)
def test_documents_are_up_to_date(name: str) -> None:
    assert (docs.DOCS / name).read_text() == docs.DOCUMENTS[name]()


@pytest.mark.parametrize("name", docs.DESCRIBED)
def test_each_field_has_a_text(name: str) -> None:
    """memory-map.md says what each variable is."""
    assert [f.name for f in fields(layout.STRUCTURES[name][1]) if not f.what] == []


def test_what_is_no_file_stays(tmp_path: Path) -> None:
    """As root, /dev/null as the output must not become a file."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "kept").write_bytes(b"before")
    with pytest.raises(FwbuildError, match="pipe: cannot write: not a regular file"):
        files.write_all({tmp_path / "kept": b"after", tmp_path / "pipe": b"after"})
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "kept").read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 2
