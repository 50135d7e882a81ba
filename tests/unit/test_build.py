"""A build that fails leaves no file behind, and says why in one line."""

from pathlib import Path

import pytest

from fwbuild import cli
from fwbuild.errors import ExitCode
from fwbuild.image import artefacts
from fwbuild.image.build import Image

SUFFIXES = (".bin", ".map", ".lst", ".elf", ".json")

# name: (the argument of --out, words of the line)
NO_FILE_NAME = {
    "here": (".", "not a file name"),
    "root": ("/", "not a file name"),
    "above": ("..", "cannot write"),
}


@pytest.mark.parametrize("name", NO_FILE_NAME)
def test_out_is_no_file_name(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, words = NO_FILE_NAME[name]
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert cli.main(["--out", out]) == ExitCode.INPUT
    line = capsys.readouterr().err
    assert line.startswith("fwbuild: error: ") and line.count("\n") == 1
    assert words in line
    assert list(tmp_path.rglob("*")) == [tmp_path / "below"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_folder_in_the_way_of_one_stops_all(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"bios{suffix}").mkdir()
    assert cli.main(["--out", str(tmp_path / "bios.bin")]) == ExitCode.INPUT
    assert capsys.readouterr().err.count("\n") == 1
    assert [p.name for p in tmp_path.rglob("*")] == [f"bios{suffix}"]


def test_a_build_replaces_an_older_one(tmp_path: Path, image: Image) -> None:
    for suffix in SUFFIXES:
        (tmp_path / f"bios{suffix}").write_text("old")
    artefacts.write(image, tmp_path / "bios.bin")
    assert (tmp_path / "bios.bin").read_bytes() == image.image
    assert all((tmp_path / f"bios{s}").read_bytes() != b"old" for s in SUFFIXES)
    assert len(list(tmp_path.iterdir())) == len(SUFFIXES)
