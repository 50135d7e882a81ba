"""The verbs that ask QEMU do not write over what they, or it, read."""

from pathlib import Path

import pytest

from fwbuild import cli
from fwbuild.errors import ExitCode
from fwbuild.payloads.test_kernel import build_test_kernel
from tests.support.overwritten import NAMES, is_refused, named

pytestmark = pytest.mark.qemu

RECORD = ["record", "--kernel", "{tmp}/vm", "--initrd", "{tmp}/rd", "--out", "{tmp}/x"]
BENCH = ["bench", "--kernel", "{tmp}/vm", "--no-peers", "--out", "{tmp}/b", "--report", "{tmp}/r",
         "--template", "{tmp}/t.toml"]  # fmt: skip

# name: (arguments, what is read, what is written there)
CASES = {
    "recorded kernel": (RECORD, "vm", "x"),
    "recorded initrd": (RECORD, "rd", "x"),
    "measured kernel": (BENCH, "vm", "b/results.json"),
    "a report": (BENCH, "vm", "r"),
    "an image": (BENCH, "t.toml", "b/t.bin"),
    "another image": ([*BENCH, "--bios", "{tmp}/rd"], "rd", "b/init.cpio"),
    "an initrd": ([*BENCH, "--initrd", "{tmp}/rd", "--until", "x"], "rd", "b/t-trace.bin"),
}


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "vm").write_bytes(build_test_kernel())
    (tmp_path / "rd").write_bytes(b"initrd")
    (tmp_path / "t.toml").write_text('extends = "universal"\n')
    (tmp_path / "b").mkdir()
    return tmp_path


@pytest.mark.parametrize("how", NAMES)
@pytest.mark.parametrize("name", CASES)
def test_refused(name: str, how: str, scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, read, written = CASES[name]
    named(how, scratch / read, scratch / written)
    words = [word.format(tmp=scratch) for word in arguments]
    is_refused(words, scratch / read, scratch / written, capsys)


@pytest.mark.parametrize("name", ["results.json", "init.cpio", "t.bin"])
def test_a_report_over_another_file(
    name: str, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word.format(tmp=scratch) for word in BENCH]
    words[words.index(f"{scratch}/r")] = f"{scratch}/b/../b/{name}"
    assert cli.main(words) == ExitCode.USAGE
    assert "a file of --out has this name" in capsys.readouterr().err
    assert not list((scratch / "b").iterdir())
