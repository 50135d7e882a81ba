"""Names that a user may not follow to a file: the line says so, and not that nothing is there."""

import gzip
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fwbuild import cli
from fwbuild.errors import ExitCode
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
