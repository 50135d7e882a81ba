"""The folder of a baked guest: what `bake` writes, and what `verify` finds in it."""

import json
import os
import shlex
import xml.etree.ElementTree as ET
from hashlib import sha256
from math import inf, nan
from pathlib import Path

import pytest

from fwbuild.cli import main
from fwbuild.errors import ExitCode
from fwbuild.firmware import layout
from fwbuild.guest import RAM_FILE
from fwbuild.image.elf import Segment, pvh_note, write_elf
from fwbuild.payloads.test_kernel import write_test_kernel

pytestmark = pytest.mark.usefixtures("sandbox")
BASE = 0x200000


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """With zeros behind its bytes."""
    path = tmp_path / "kernel"
    segment = Segment(BASE, b"\xf4" * 100, 0x5000, 7)
    path.write_bytes(write_elf([segment], [], BASE, pvh_note(BASE)))
    return path


def baked(kernel: Path, *more: str) -> Path:
    folder = kernel.parent / "baked"
    assert main(["bake", "--kernel", str(kernel), "--out", str(folder), *more]) == ExitCode.OK
    return folder


@pytest.mark.parametrize(
    ("given", "size"),
    [("65536K", 65536), ("65537K", 65544), ("65543K", 65544), ("65545K", 65552), ("64", 65536)],
)
def test_memory_is_what_qemu_makes_of_it(given: str, size: int, kernel: Path) -> None:
    """QEMU rounds -m up, and takes no RAM file of another size."""
    folder = baked(kernel, "-m", given)
    words = shlex.split((folder / "options").read_text())
    text = words[words.index("-m") + 1]
    assert text == (f"{size}K" if size % 1024 else f"{size // 1024}M")
    assert f"size={size << 10}," in words[words.index("-object") + 1]
    assert (folder / RAM_FILE).stat().st_size == size << 10


def test_the_domain_has_cpus_and_properties(kernel: Path) -> None:
    """Those of the options, and text that is no XML by itself."""
    folder = baked(kernel, "-M", "q35,smm=off,x-oem-id=A&<'>", "--smp", "4")
    root = ET.fromstring((folder / "libvirt.xml").read_text())
    assert root.findtext("vcpu") == "4"
    values = [arg.get("value") for arg in root.iter() if arg.tag.endswith("}arg")]
    assert values[values.index("-machine") + 1] == "memory-backend=ram,smm=off,x-oem-id=A&<'>"


def test_the_pieces_are_described(kernel: Path) -> None:
    """So many bytes at the address have that SHA-256, zeros behind a segment's bytes included."""
    folder = baked(kernel, "--append", "a=b")
    ram = (folder / RAM_FILE).read_bytes()
    pieces = json.loads((folder / "bake.json").read_text())["pieces"]
    assert (BASE, 0x5000) in [(p["address"], p["size"]) for p in pieces]
    for p in pieces:
        content = ram[p["address"] : p["address"] + p["size"]]
        assert sha256(content).hexdigest() == p["sha256"]


PLACES = {
    "the kernel": BASE + 50,
    "its zeros": BASE + 0x4FFF,
    "the kernel's size in the record": layout.region("record").base + 20,
    "the number of modules": layout.region("record").base + 28,
    "the last byte of the record": layout.region("record").base + 351,
    "the command line": layout.region("cmdline").base,
    "the initrd": BASE + 0x5000,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_byte_that_changed(place: str, kernel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (kernel.parent / "initrd").write_bytes(b"initrd")
    folder = baked(kernel, "--append", "a=b", "--initrd", str(kernel.parent / "initrd"))
    assert main(["verify", "--baked", str(folder)]) == ExitCode.OK
    with (folder / RAM_FILE).open("r+b") as file:
        file.seek(PLACES[place])
        old = file.read(1)
        file.seek(PLACES[place])
        file.write(bytes([old[0] ^ 1]))
    capsys.readouterr()
    assert main(["verify", "--baked", str(folder)]) == ExitCode.INPUT
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "is not what was baked (hint: bake the guest again)" in said


@pytest.mark.parametrize(
    "pieces",
    [None, [{}], [{"address": "x", "size": 1, "sha256": ""}], [[]], "many",
     [{"address": -1, "size": 1, "sha256": ""}], [{"address": 0, "size": -1, "sha256": ""}],
     *([{"address": 0, "size": 1, "sha256": ""} | {key: value}]
       for key in ("address", "size")
       for value in (inf, -inf, nan, 1.5, True, None, "1", 1 << 63, 1 << 200)),
     [{"address": 0, "size": 1, "sha256": 5}],
     [{"address": 0, "size": 32 << 20, "sha256": ""}] * 17],  # of 512 MiB
)  # fmt: skip
def test_a_description_of_no_pieces(
    pieces: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = baked(write_test_kernel(tmp_path))
    plain = json.loads((folder / "bake.json").read_text())
    (folder / "bake.json").write_text(json.dumps(plain | {"pieces": pieces}))
    capsys.readouterr()
    assert main(["verify", "--baked", str(folder)]) == ExitCode.INPUT
    assert "it does not describe a baked guest" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["memory", "smp"])
@pytest.mark.parametrize("value", [inf, nan, 1.5, 64.0, True, None, "1", 0, -1, 1 << 63, 1 << 200])
def test_a_description_of_no_guest(
    key: str, value: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = {"machine": "pc", "memory": 64 << 20, "smp": 1} | {key: value}
    (tmp_path / "bake.json").write_text(json.dumps(plain))
    assert main(["verify", "--baked", str(tmp_path)]) == ExitCode.INPUT
    assert "it does not describe a baked guest" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["bake.json", RAM_FILE])
def test_a_pipe_in_the_folder(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody waits for what it may give."""
    folder = baked(write_test_kernel(tmp_path))
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert main(["verify", "--baked", str(folder)]) == ExitCode.INPUT
    assert f"{name}: cannot read: not a regular file" in capsys.readouterr().err


def test_a_piece_larger_than_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = baked(write_test_kernel(tmp_path))
    plain = json.loads((folder / "bake.json").read_text())
    plain["pieces"][0]["size"] = 1 << 62
    (folder / "bake.json").write_text(json.dumps(plain))
    assert main(["verify", "--baked", str(folder)]) == ExitCode.INPUT
    assert "is not what was baked" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "wanted"), [([], "4"), (["--smp", "2"], "2")])
def test_the_cpus_are_those_of_the_options(
    given: list[str], wanted: str, kernel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = baked(kernel, "--smp", "4")
    assert " -smp 4 " in (folder / "options").read_text()
    capsys.readouterr()
    assert main(["run", "--baked", str(folder), "--accel", "tcg", "--dry-run", *given]) == 0
    assert f" -smp {wanted} " in capsys.readouterr().out
