"""Names that a user may not follow to a file: the line says so, and not that nothing is there."""

import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fwbuild import cli
from fwbuild.bake.read import check_pieces
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import RAM_FILE
from fwbuild.image.build import Image
from fwbuild.payloads.test_kernel import build_test_kernel
from tests.support.bzimages import bzimage

NOBODY = 65534
READ = "cannot read: Permission denied (hint: look at its path and its rights)"
WRITE = "cannot write: Permission denied (hint: look at its path and its rights)"
SOCKET = "no socket can be there: Permission denied (hint: look at its path and its rights)"

# name: (arguments, exit code, words of the line). {locked} is in a folder that nobody may enter.
LOCKED = {
    "kernel": (["verify", "--kernel", "{locked}"], ExitCode.INPUT, READ),
    "initrd": (["verify", "--initrd", "{locked}"], ExitCode.INPUT, READ),
    "image": (["verify", "--bios", "{locked}"], ExitCode.INPUT, READ),
    "template": (["build", "--template", "{locked}.toml"], ExitCode.TEMPLATE, READ),
    "what is extracted": (["extract", "{bzimage}", "--out", "{locked}"], ExitCode.INPUT, WRITE),
    "monitor": (["run", "--accel", "tcg", "--qmp", "{locked}"], ExitCode.INPUT, SOCKET),
    "recording": (["verify", "--recording", "{locked}"], ExitCode.INPUT, READ),
}


@contextmanager
def somebody_else() -> Iterator[None]:
    """As a user whose rights are checked: root's are not."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def names() -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own lets nobody else in
        bz, locked = Path(folder, "bz"), Path(folder, "locked")
        bz.write_bytes(bzimage(gzip.compress(build_test_kernel())))
        locked.mkdir(mode=0)
        Path(folder).chmod(0o755)
        yield {"bzimage": str(bz), "locked": str(locked / "file")}


@pytest.mark.parametrize("name", LOCKED)
def test_a_folder_that_nobody_may_enter(
    name: str, names: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    words, code, said = LOCKED[name]
    arguments = [word.format(**names) for word in words]
    missing = [word.replace(names["locked"], "/dev/null/file") for word in arguments]
    assert cli.main(missing)  # all that it imports, which somebody else may not
    capsys.readouterr()
    with somebody_else():
        assert cli.main(arguments) == code
    where = next(word for word in arguments if word.startswith(names["locked"]))
    assert capsys.readouterr().err == f"fwbuild: error: {where}: {said}\n"


# name: what the system says of it
NAMES = {"loop": "Too many levels of symbolic links", "x" * 300: "File name too long"}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_nowhere(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    path = tmp_path / name
    said = f"fwbuild: error: {path}: cannot read: {NAMES[name]} (hint: look at its path"
    for verb in (["verify", "--kernel"], ["inspect"], ["verify", "--initrd"]):
        assert cli.main([*verb, str(path)]) == ExitCode.INPUT
        assert capsys.readouterr().err.startswith(said)


LONGEST = 255 - len(".json")  # bytes of a name that has room for each suffix


@pytest.mark.parametrize("verb", ["build", "extract"])
def test_a_long_name_can_be_written(
    verb: str, names: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the scratch file is called."""
    out = tmp_path / ("b" * LONGEST + ".bin")
    words = ["extract", names["bzimage"]] if verb == "extract" else ["build"]
    assert cli.main([*words, "--out", str(out)]) == ExitCode.OK
    assert out.is_file()
    assert len(list(tmp_path.iterdir())) == (1 if verb == "extract" else 5)


# what stands beside an image: the name's length, the JSON's text
BESIDE = {"no room for its suffix": (255, ""), "nested too deep": (8, "[" * 100_000)}


@pytest.mark.parametrize("name", BESIDE)
def test_an_image_of_no_use_beside_it(
    name: str, tmp_path: Path, image: Image, capsys: pytest.CaptureFixture[str]
) -> None:
    length, text = BESIDE[name]
    path = tmp_path / ("b" * length)
    path.write_bytes(image.image)
    if text:
        path.with_suffix(".json").write_text(text)
    assert cli.main(["inspect", str(path)]) == ExitCode.OK
    said = capsys.readouterr()
    assert said.err == "" and ("does not describe this image" in said.out) == bool(text)


def test_a_recording_of_a_baked_guest_beyond_all_numbers(tmp_path: Path) -> None:
    piece = {"address": 10**30, "size": 1, "sha256": ""}
    (tmp_path / "bake.json").write_text(json.dumps({"pieces": [piece]}))
    (tmp_path / RAM_FILE).touch()
    with pytest.raises(FwbuildError, match="does not describe a baked guest"):
        check_pieces(tmp_path)


def test_what_python_says_of_an_expression_is_not_said() -> None:
    """Its warnings are not for a user."""
    words = ["run", "--expect", "[[a]", "--bios", "none", "--dry-run"]
    argv = [sys.executable, "-m", "fwbuild", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.USAGE and done.stderr.count("\n") == 1
