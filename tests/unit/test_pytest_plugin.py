"""Pytest's plugin: its page runs, and what goes wrong is a line."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from fwbuild import pytest_plugin
from fwbuild.docs import DOCS
from fwbuild.qemu.program import VARIABLE
from tests.support.pages import fenced

pytest_plugins = ["pytester"]
QUICK = ["-p", "no:hypothesispytest"]  # its import takes longer than a test
importlib.import_module("fwbuild.verbs.guest_options")  # a run forgets what it imports first

OPTIONS = ["--fw-template", "linux", "--fw-machine", "microvm", "--fw-machine", "q35"]


def test_the_emulated_example(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_handoff=fenced("pytest.md", "python")[0])
    assert f"pytest {' '.join(OPTIONS)}\n" in (DOCS / "pytest.md").read_text(encoding="utf-8")
    pytester.runpytest(*QUICK, *OPTIONS).assert_outcomes(passed=8)


def test_the_page_has_each_fixture_and_option() -> None:
    page = (DOCS / "pytest.md").read_text(encoding="utf-8")
    assert [name for name in pytest_plugin.OPTIONS if f"`--fw-{name}`" not in page] == []
    fixtures = [n for n in vars(pytest_plugin) if n.startswith("fw_") and n != "fw_machine_type"]
    assert len(fixtures) == 4
    assert [name for name in fixtures if f"`{name}`" not in page] == []


MACHINE = "def test_it(fw_machine): pass\n"
MARKED = "import pytest\n@pytest.mark.fw({})\n" + MACHINE
# (test, options, part of the one line that is the reason)
BAD = {
    "no image": (MACHINE, ["--fw-bios", "nope.bin"], "nope.bin: cannot read"),
    "no template": (MACHINE, ["--fw-template", "nope"], "no template 'nope'"),
    "no kernel": (MACHINE, ["--fw-kernel", "nope"], "nope: no such file"),
    "no size": (MACHINE, ["--fw-memory", "many"], "'many' is not a memory size"),
    "no machine": (MACHINE, ["--fw-machine", "virt"], "virt"),
    "a stop": (MACHINE, ["--fw-template", "xen.toml"],
               "the firmware stopped: kernel kind not supported"),
    "no firmware": (MACHINE, ["--fw-bios", "halt.bin"], "the kernel was not entered: halt"),
    "no field": (MARKED.format("colour='red'"), [], "unexpected keyword argument 'colour'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_goes_wrong_is_a_line(name: str, pytester: pytest.Pytester, bios: Path) -> None:
    test, options, reason = BAD[name]
    if not {"--fw-bios", "--fw-template"} & {*options}:
        options = ["--fw-bios", str(bios), *options]
    pytester.makepyfile(test)
    pytester.path.joinpath("xen.toml").write_text('extends="linux"\nprotocols=["multiboot"]\n')
    pytester.path.joinpath("halt.bin").write_bytes(b"\xf4" * 0x10000)
    found = pytester.runpytest(*QUICK, *options)
    found.assert_outcomes(errors=1)
    assert reason in found.stdout.str()
    assert "During handling" not in found.stdout.str()
    assert "Traceback" not in found.stdout.str() and "pytest_plugin.py" not in found.stdout.str()


def test_no_qemu_is_a_skip(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile("def test_it(fw_qemu): fw_qemu.run()\n")
    monkeypatch.setenv("PATH", "/nonexistent")
    found = pytester.runpytest(*QUICK, "-rs")
    found.assert_outcomes(skipped=1)
    found.stdout.fnmatch_lines(["*needs qemu-system-x86_64*"])


@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_qemu_that_is_named_has_to_be_there(
    by: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job whose path has a typing error would be green."""
    pytester.makepyfile("def test_it(fw_qemu): fw_qemu.run()\n")
    if by == "variable":
        monkeypatch.setenv(VARIABLE, "/nonexistent/qemu")
    options = ["--fw-qemu", "/nonexistent/qemu"] if by == "option" else []
    found = pytester.runpytest(*QUICK, *options)
    found.assert_outcomes(errors=1)
    found.stdout.fnmatch_lines(["*/nonexistent/qemu: no program*"])


def test_a_fixture_of_the_projects_own(pytester: pytest.Pytester, bios: Path) -> None:
    pytester.makepyfile("""
        import fwbuild
        import pytest
        @pytest.fixture
        def fw_guest():
            return fwbuild.Guest(machine="pc", append="own")
        def test_it(fw_machine):
            assert fw_machine.guest.machine == "pc"
            assert fw_machine.handoff.cmdline == b"own"
    """)
    pytester.runpytest(*QUICK, "--fw-bios", str(bios)).assert_outcomes(passed=1)


def test_a_run_that_uses_no_fixture_imports_nothing(tmp_path: Path) -> None:
    """The plugin is in every run of pytest where fwbuild is installed."""
    (tmp_path / "test_it.py").write_text(
        "import sys\ndef test_it():\n"
        "    assert 'fwbuild.pytest_plugin' in sys.modules\n"
        "    assert not {'unicorn', 'keystone', 'fwbuild.api'} & sys.modules.keys()\n"
    )
    argv = [sys.executable, "-m", "pytest", *QUICK, str(tmp_path)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
