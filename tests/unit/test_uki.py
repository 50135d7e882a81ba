"""Unified kernel images, good and bad, that the test writes byte by byte as PE has them."""

import json
import re
from pathlib import Path

import pytest

from fwbuild import cli
from fwbuild.errors import ExitCode
from fwbuild.guest import Guest
from fwbuild.kernel.uki import EfiError, parse_efi
from fwbuild.payloads.test_kernel import build_test_kernel
from fwbuild.verbs.run_kernel import in_parts
from tests.support.bzimages import bzimage, compress
from tests.support.efi import AARCH64, DATA_AT, pe, uki

OSREL = b'ID=x\nPRETTY_NAME="An OS 1"\n'
PARTS = {".osrel": OSREL, ".uname": b"6.1\0\0", ".cmdline": b"console=ttyS0 quiet\n\0",
         ".initrd": b"initrd", ".linux": b"kernel"}  # fmt: skip


def test_parts() -> None:
    found = parse_efi(uki(PARTS))
    assert found.is_uki and found.machine == "x86-64"
    assert found.parts == PARTS
    assert found.text(".cmdline") == "console=ttyS0 quiet"
    assert (found.system, found.text(".uname"), found.initrd) == ("An OS 1", "6.1", b"initrd")


def test_microcode_comes_first_and_the_first_of_a_name_counts() -> None:
    both = uki({".ucode": b"micro", ".initrd": b"initrd", ".linux": b"1"})
    assert parse_efi(both).initrd == b"micro\0\0\0initrd"
    doubled = pe([(".linux", 1, 1, DATA_AT), (".linux", 1, 1, DATA_AT + 1)], b"12")
    assert parse_efi(doubled).parts == {".linux": b"1"}


DATA = b"d" * 64
HUGE = 0xFFFFFFFF
AT = DATA_AT

# a file: part of what is wrong
BAD: dict[str, tuple[bytes, str]] = {
    "beyond the file": (pe([(".linux", 65, 65, AT)], DATA), ".linux passes the end"),
    "huge": (pe([(".linux", HUGE, HUGE, AT)], DATA), ".linux passes the end"),
    "far away": (pe([(".linux", 1, 1, HUGE)], DATA), "EFI application"),
    "overlapping": (pe([(".linux", 32, 32, AT), (".initrd", 32, 32, AT + 31)], DATA),
                    ".linux and .initrd overlap"),
    "inside another": (pe([(".initrd", 8, 8, AT + 8), (".linux", 64, 64, AT)], DATA),
                       ".linux and .initrd overlap"),
    "no PE header": (b"MZ" + bytes(100), "no PE file"),
    "only a magic": (b"MZ", "no PE file"),
    "a PE header beyond the file": (b"MZ" + bytes(58) + b"\xff" * 4, "no PE file"),
    "cut in its table": (pe([(".linux", 8, 8, AT)] * 9, DATA)[:300], ""),
    **{f"too much of {name}": (uki(PARTS | {name: bytes((64 << 10) + 1)}),
                               f"the section {name} has more than 64 KiB of text")
       for name in (".cmdline", ".osrel", ".uname")},
    "another machine": (uki(PARTS, machine=AARCH64), "another machine (0xaa64)"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("verb", ["inspect", "extract", "run"])
def test_bad(
    verb: str,
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, words = BAD[name]
    monkeypatch.chdir(tmp_path)
    Path("x.efi").write_bytes(data)
    assert cli.main([verb, "x.efi"]) == ExitCode.KERNEL
    said = capsys.readouterr()
    assert words in said.out + said.err
    assert "Traceback" not in said.err
    assert [path.name for path in Path().iterdir()] == ["x.efi"]


def test_sections_that_are_no_parts_may_lie_anywhere() -> None:
    sections = [(".text", HUGE, HUGE, AT), (".linux", 4, 4, AT), (".empty", 0, 0, HUGE)]
    assert parse_efi(pe(sections, DATA)).parts == {".linux": b"dddd"}


def test_every_byte_of_the_headers_may_be_wrong() -> None:
    good = uki(PARTS)
    for at in range(DATA_AT):
        for value in (0, 0x7F, 0xFF):
            with_one = good[:at] + bytes([value]) + good[at + 1 :]
            try:
                parse_efi(with_one)
            except EfiError:
                continue


def test_another_application(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.efi"
    path.write_bytes(pe([(".text", 64, 64, AT)], DATA))
    assert cli.main(["inspect", str(path)]) == ExitCode.KERNEL
    assert "EFI application" in capsys.readouterr().out
    for verb in ("run", "extract"):
        assert cli.main([verb, str(path)]) == ExitCode.KERNEL
        assert "an EFI application without a kernel in it" in capsys.readouterr().err


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A UKI with a bzImage in it."""
    found = tmp_path / "x.efi"
    found.write_bytes(uki(PARTS | {".linux": bzimage(compress("gzip", build_test_kernel()))}))
    return found


def test_extract(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "v"
    assert cli.main(["extract", str(path), "--out", str(out), "--json"]) == ExitCode.OK
    found = json.loads(capsys.readouterr().out)
    assert out.read_bytes() == build_test_kernel()
    assert {name: Path(file).name for name, file in found["parts"].items()} == {
        name[1:]: f"v{name}" for name in PARTS
    }
    assert (tmp_path / "v.initrd").read_bytes() == b"initrd"


def test_extract_overwrites_no_uki(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    path = path.rename(tmp_path / "v.linux")
    assert cli.main(["extract", str(path), "--out", str(tmp_path / "v")]) == ExitCode.INPUT
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_inspect_tells_stands_in_columns(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The kernel's names are longer than a UKI's own."""
    assert cli.main(["inspect", str(path)]) == ExitCode.OK
    told = capsys.readouterr().out
    parts = {"machine": "x86-64", "os": "An OS", "linux what": "bzImage",
             "linux relocatable_kernel": r"\d"}  # fmt: skip
    found = [
        re.search(f"^  {name} +(?={value})", told, re.MULTILINE) for name, value in parts.items()
    ]
    assert all(found), told
    assert len({len(match[0]) for match in found if match}) == 1, told


def test_inspect(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", str(path), "--json"]) == ExitCode.OK
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["protocol"]) == ("uki", "linux")
    assert found["facts"]["os"] == "An OS 1"
    assert found["facts"]["linux"]["vmlinux"]["pvh_entry"]


@pytest.mark.parametrize(("own", "append"), [("", "console=ttyS0 quiet"), ("mine", "mine")])
def test_run_takes_the_parts(own: str, append: str, path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    guest = in_parts(Guest(kernel=path, append=own, memory=1), path.read_bytes(), folder)[0]
    assert guest.append == append and guest.memory == 1
    assert guest.initrd and guest.initrd.read_bytes() == b"initrd"
    mine = in_parts(Guest(kernel=path, initrd=Path("mine")), path.read_bytes(), folder)[0]
    assert mine.initrd == Path("mine")


def test_a_uki_without_an_initrd(tmp_path: Path) -> None:
    path = tmp_path / "x.efi"
    path.write_bytes(uki({".linux": b"kernel"}))
    guest, kernel = in_parts(Guest(kernel=path), path.read_bytes(), tmp_path)
    assert kernel == b"kernel"
    assert guest.initrd is None and guest.append == ""
    assert guest.kernel and guest.kernel.read_bytes() == b"kernel"
