"""Which QEMU: the command line's, the environment's, or the one on PATH; asked once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fwbuild import cli
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.qemu import program
from fwbuild.qemu.program import NAME, VARIABLE

Maker = Callable[[str, str], Path]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    """Makes a program of that name that says what QEMU of a version says, and notes each call."""
    monkeypatch.delenv(VARIABLE, raising=False)

    def make(name: str, version: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\necho asked >> "$0.calls"\necho "{version}"\n')
        path.chmod(0o755)
        return path

    return make


def test_order(fake: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = fake(f"bin/{NAME}", "QEMU emulator version 8.2.2 (Debian 1:8.2.2+ds-0ubuntu1)")
    named = fake("named", "QEMU emulator version 9.0.50")
    told = fake("told", "QEMU emulator version 12.1")
    monkeypatch.setenv("PATH", str(on_path.parent), prepend=":")
    assert program.program().version == "8.2.2"
    monkeypatch.setenv(VARIABLE, str(named))
    assert program.program().numbers == (9, 0, 50)
    with program.chosen(str(told)):
        assert program.program() == program.Qemu(str(told), "12.1")
    with program.chosen(None):
        assert program.program().path == str(named)
    assert Path(f"{named}.calls").read_text().count("asked") == 1


@pytest.mark.parametrize(
    "text, words", [("GNU grub 2", "it is not a QEMU: GNU grub 2"), ("", "it is not a QEMU")]
)
def test_another_program(text: str, words: str, fake: Maker) -> None:
    with program.chosen(str(fake("other", text))), pytest.raises(FwbuildError, match=words):
        program.program()


@pytest.mark.parametrize("verb", ["run", "record --out x", "cost", "verify"])
def test_no_such_program(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([*verb.split(), "--qemu", "/no/qemu"]) == ExitCode.QEMU
    assert "/no/qemu: no program (hint: --qemu and FWBUILD_QEMU" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("verb", ["verify --real", "record --out never"])
def test_a_signal_that_ended_it_is_named(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not that a socket to it was closed."""
    path = tmp_path / NAME
    path.write_text(
        '#!/bin/sh\ncase "$*" in *--version*) echo QEMU emulator version 9.0.0; exit;; esac\n'
        "kill -FPE $$\n"
    )
    path.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(path))
    assert cli.main(verb.split()) == ExitCode.QEMU
    assert "QEMU 9.0.0 failed: a signal ended it: SIGFPE" in capsys.readouterr().err
