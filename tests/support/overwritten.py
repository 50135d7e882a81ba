"""Command lines whose output would go over what they read."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from fwbuild import cli
from fwbuild.errors import ExitCode

# How the output is another name of the file: the same, a symbolic link to it, a hard link.
NAMES = ("same", "symlink", "hardlink")


def named(how: str, file: Path, out: Path) -> None:
    """Make `out` another name of `file`, which is there."""
    if how == "symlink":
        out.symlink_to(file)
    elif how == "hardlink":
        out.hardlink_to(file)
    elif out != file:
        file.replace(out)
        file.symlink_to(out)


def is_refused(
    words: Sequence[str], file: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line ends with one line about `file` and `out`, and changes nothing."""
    folder = file.parent
    before = {p: (p.lstat().st_ino, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}
    assert cli.main(list(words)) == ExitCode.INPUT
    said = capsys.readouterr().err.splitlines()[-1]
    wanted = f"fwbuild: error: {file}: it is read, and would be overwritten by {out} (hint: "
    assert said.startswith(wanted)
    after = {p: (p.lstat().st_ino, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}
    assert after == before
