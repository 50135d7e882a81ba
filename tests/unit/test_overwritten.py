"""What a command line reads is not overwritten by what it writes, whatever it is called there."""

import gzip
from pathlib import Path

import pytest

from fwbuild import cli
from fwbuild.errors import ExitCode
from fwbuild.files import read_file, write_all
from fwbuild.inputs import kept
from fwbuild.payloads.test_kernel import build_test_kernel
from tests.support.bzimages import bzimage
from tests.support.efi import uki
from tests.support.overwritten import NAMES, is_refused, named

TEMPLATE = 'machines = ["pc"]\nprotocols = ["pvh"]\n'
BAKE = ["bake", "-M", "pc", "-m", "64M", "--out", "{tmp}/baked"]
EXTRACT = ["extract", "{tmp}/bz"]

# name: (arguments, what is read, what is written there)
CASES = {
    "template": (["build", "--template", "{tmp}/t.toml", "--out", "{tmp}/t.toml"], "t.toml",
                 "t.toml"),
    "template, default verb": (["--template", "{tmp}/t.toml", "--out", "{tmp}/x.bin"], "t.toml",
                               "x.bin"),
    "what a template extends": (
        ["build", "--template", "{tmp}/heir.toml", "--out", "{tmp}/x.bin"], "t.toml", "x.bin"),
    "a file beside the image": (
        ["build", "--template", "{tmp}/t.toml", "--out", "{tmp}/x.bin"], "t.toml", "x.json"),
    "bzImage": ([*EXTRACT, "--out", "{tmp}/bz"], "bz", "bz"),
    "bzImage by another name": ([*EXTRACT, "--out", "{tmp}/x"], "bz", "x"),
    "UKI": (["extract", "{tmp}/uki", "--out", "{tmp}/x"], "uki", "x"),
    "a part of a UKI": (["extract", "{tmp}/uki", "--out", "{tmp}/x"], "uki", "x.linux"),
    "baked kernel": ([*BAKE, "--kernel", "{tmp}/vm"], "vm", "baked/ram.img"),
    "baked initrd": ([*BAKE, "--kernel", "{tmp}/vm", "--initrd", "{tmp}/rd"], "rd",
                     "baked/bios.bin"),
    "baked module": ([*BAKE, "--kernel", "{tmp}/vm", "{tmp}/rd"], "rd", "baked/options"),
    "its template": ([*BAKE, "--kernel", "{tmp}/vm", "--template", "{tmp}/baking.toml"],
                     "baking.toml", "baked/bake.json"),
}  # fmt: skip

WAYS = [
    (n, how) for n, case in CASES.items() for how in NAMES if how == "same" or case[1] != case[2]
]


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    kernel = build_test_kernel()
    (tmp_path / "t.toml").write_text(TEMPLATE)
    (tmp_path / "heir.toml").write_text('extends = "t.toml"\n')
    (tmp_path / "baking.toml").write_text('extends = "baked"\n')
    (tmp_path / "vm").write_bytes(kernel)
    (tmp_path / "rd").write_bytes(b"initrd")
    (tmp_path / "bz").write_bytes(bzimage(gzip.compress(kernel)))
    (tmp_path / "uki").write_bytes(uki({".linux": bzimage(gzip.compress(kernel))}))
    (tmp_path / "baked").mkdir()
    return tmp_path


@pytest.mark.parametrize(("name", "how"), WAYS)
def test_refused(name: str, how: str, scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, read, written = CASES[name]
    file, out = scratch / read, scratch / written
    if file != out:
        named(how, file, out)
        if out.parent != scratch:
            (out.parent / "bake.json").touch()  # or it would be another's folder
    is_refused([word.format(tmp=scratch) for word in arguments], file, out, capsys)


def test_what_was_written_before_is_no_matter(scratch: Path) -> None:
    """An output may be there already, and be read after it was written."""
    out = scratch / "x.bin"
    for _ in range(2):
        assert cli.main(["--template", str(scratch / "t.toml"), "--out", str(out)]) == ExitCode.OK
    with kept():
        for data in (b"a", b"b"):
            write_all({out: data})
            assert read_file(out) == data


def test_a_script_writes_what_it_read(scratch: Path) -> None:
    read_file(scratch / "rd")
    write_all({scratch / "rd": b"new"})
    assert (scratch / "rd").read_bytes() == b"new"
