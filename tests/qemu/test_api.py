"""The public API and pytest's fixtures with a real QEMU, as their pages show them."""

from pathlib import Path

import pytest

import fwbuild
from fwbuild.docs import DOCS
from fwbuild.errors import ExitCode, FwbuildError
from tests.support.pages import fenced, run_page

pytestmark = pytest.mark.qemu
pytest_plugins = ["pytester"]


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_page((DOCS / "python.md").read_text(encoding="utf-8"))


def test_the_examples_with_pytest(pytester: pytest.Pytester, bios: Path) -> None:
    _, boot, status = fenced("pytest.md", "python")
    pytester.makepyfile(test_boot=boot, test_status=status)
    quick = ["-p", "no:hypothesispytest"]
    pytester.runpytest(*quick, "--fw-bios", str(bios)).assert_outcomes(passed=4)


def test_the_plugin_takes_the_qemu_of_its_option(pytester: pytest.Pytester, bios: Path) -> None:
    pytester.path.joinpath("false").write_text("#!/bin/sh\nfalse\n")
    pytester.path.joinpath("false").chmod(0o755)
    pytester.makepyfile("def test_it(fw_qemu): fw_qemu.run()\n")
    found = pytester.runpytest("--fw-qemu", "./false", "--fw-bios", str(bios))
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["*./false: it is not a QEMU*"])


# (fields of the guest, words of `until`, exit code, part of the line)
BAD: dict[str, tuple[dict[str, tuple[str, ...]], str, ExitCode, str]] = {
    "the guest ended": ({}, "login:", ExitCode.UNEXPECTED, "'login:' did not come: the guest"),
    "QEMU has no such device": ({"extra": ("-device", "nope")}, "x", ExitCode.QEMU, "no device"),
    "time ran out": ({"extra": ("-S",)}, "x", ExitCode.TIMEOUT, "the serial port is silent"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_come(name: str, bios: Path) -> None:
    fields, until, code, line = BAD[name]
    guest = fwbuild.Guest(**fields)  # type: ignore[arg-type]
    seconds = 1 if code == ExitCode.TIMEOUT else 60
    with pytest.raises(FwbuildError) as error:
        fwbuild.run(guest, bios.read_bytes(), until=until, timeout=seconds)
    assert error.value.code == code
    assert line in str(error.value)
