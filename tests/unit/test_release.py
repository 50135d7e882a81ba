"""The sdist, the wheel and what is written about the release that they are."""

import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from fwbuild.version import RELEASED, __version__
from tests.support import release
from tests.support.release import ROOT


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist and the wheel, which are refused unless one builds the other."""
    pytest.importorskip("hatchling")
    return release.sdist_and_wheel(tmp_path_factory.mktemp("dist"))


def below(folder: str) -> set[str]:
    """The files of a folder of the checkout, by their paths from it."""
    root = ROOT / folder
    paths = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)) for path in paths if "__pycache__" not in path.parts}


FOLDERS = {  # in the checkout; where a wheel has it
    "fwbuild": "fwbuild/",
    "asm": "fwbuild/data/asm/",
    "templates": "fwbuild/data/templates/",
    "share": "fwbuild/data/share/",
}
LEFT_OUT = {"fwbuild/share.py"}


def test_the_wheel_has_all_files(packages: tuple[Path, Path]) -> None:
    files = zipfile.ZipFile(packages[1]).namelist()
    there = {name for name in files if name.startswith("fwbuild/")}
    wanted = {where + name for folder, where in FOLDERS.items() for name in below(folder)}
    assert there == wanted - LEFT_OUT


def test_the_sdist_has_what_a_developer_needs(packages: tuple[Path, Path]) -> None:
    with tarfile.open(packages[0]) as packed:
        names = {member.name.partition("/")[2] for member in packed.getmembers()}
    for folder in (*FOLDERS, "docs", "tests"):
        assert {f"{folder}/{name}" for name in below(folder)} <= names
    assert {"Makefile", "README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"} <= names


def test_another_build_has_the_same_bytes(packages: tuple[Path, Path], tmp_path: Path) -> None:
    again = release.built("build_sdist", ROOT, tmp_path)
    assert again.read_bytes() == packages[0].read_bytes()


def test_the_change_log_starts_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"(?m)^## (.*)$", text)
    assert first
    assert first[1] == f"{__version__} - {RELEASED}"


def test_sums(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert release.sums([tmp_path / "a"]) == f"{digest}  a\n"
