"""QEMU on the user's terminal: programs that end in every way stand in for it."""

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.qemu import terminal
from fwbuild.qemu.console import Console
from fwbuild.qemu.ending import How
from fwbuild.qemu.monitor import SOCKET_PATH_MAX, monitor_arguments
from fwbuild.qemu.terminal import Terminal

SLEEP = "exec sleep 60"

# what QEMU does, seconds, --expect: how it ends, or the exit code and part of the line
ENDS: dict[str, tuple[str, float | None, str | None, How | ExitCode, str]] = {
    "found, and QEMU goes on": (f"echo one; echo login:; {SLEEP}", 60, "^login", How.EXPECTED,
                                "what was expected: login"),
    "found in half a line": (f"printf 'a login: '; {SLEEP}", 60, "login: ", How.EXPECTED, ""),
    "found at the end": ("printf done", 60, "^done$", How.EXPECTED, ""),
    "found in a whole line": (f"printf 'done\\r\\nmore\\r\\n'; {SLEEP}", 60, "^done$",
                              How.EXPECTED, ""),
    "found, and QEMU fails": ("echo done; exit 1", 60, "done", How.EXPECTED, ""),
    "found in pieces": ("printf lo; sleep 0.1; printf gin", 60, "login", How.EXPECTED, ""),
    "found late in a character": (r"printf 'x\342\202'; sleep 0.1; printf '\254'", 60, "x€",
                                  How.EXPECTED, ""),
    "not in one line": ("printf 'a\\nb\\n'", 60, "a.*b", ExitCode.UNEXPECTED,
                        "'a.*b' did not come: QEMU was told to end (hint: the serial port's "
                        "last line is 'b')"),
    "never": ("true", 60, "x", ExitCode.UNEXPECTED, "the serial port is silent"),
    "not in time": (f"echo no; {SLEEP}", 0.5, "x", ExitCode.TIMEOUT,
                    "'x' did not come: the guest was still running"),
    "QEMU fails first": ("echo why >&2; exit 1", 60, "x", ExitCode.QEMU, "QEMU failed"),
    "nobody asks": ("echo text", 60, None, How.CLOSED, "told to end"),
    "nobody asks, in time": (SLEEP, 0.3, None, ExitCode.TIMEOUT, "still running"),
    "nobody asks, no limit": ("true", None, None, How.CLOSED, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_end(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script, seconds, expect, wanted, words = ENDS[name]
    run = Terminal(["sh", "-c", script], tmp_path / "console", seconds, expect)
    if isinstance(wanted, How):
        end = run.run()
        assert end.how == wanted
        assert words in end.line
    else:
        with pytest.raises(FwbuildError) as caught:
            run.run()
        assert caught.value.code == wanted
        assert words in str(caught.value)


def test_all_is_passed_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Terminal(["sh", "-c", "printf 'a\\nb'; echo c >&2"], tmp_path / "console", 60, "b").run()
    assert capfd.readouterr() == ("a\nb", "c\n")


def test_what_is_said_next_has_a_line_of_its_own(tmp_path: Path) -> None:
    """The guest's last line may have no newline, where it and fwbuild write to one place."""
    code = """
import sys
from pathlib import Path
from typing import Any
from fwbuild.qemu.terminal import Terminal
end = Terminal(["sh", "-c", "printf 'a prompt: '"], Path(sys.argv[1]), 60, "prompt").run()
print(end.line, file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "console")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[0] == "a prompt: "
    assert done.stdout.splitlines()[1].startswith("the guest printed")


def test_qemu_may_write_its_disks_back(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    script = (
        f"trap 'touch {shlex.quote(str(mark))}; exit' TERM; echo x; while :; do sleep 0.05; done"
    )
    assert Terminal(["sh", "-c", script], tmp_path / "console", 60, "x").run().how == How.EXPECTED
    assert mark.exists()


def test_one_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "END_SECONDS", 0.2)
    script = "trap '' TERM; echo x; while :; do sleep 0.05; done"
    end = Terminal(["sh", "-c", script], tmp_path / "console", 60, "x").run()
    assert (end.how, end.status) == (How.EXPECTED, -9)


def test_a_long_line_is_not_searched_again_and_again() -> None:
    """Lines that were searched are not searched again."""
    serial = Console("z$")
    for _ in range(20000):
        serial.take(b"0123456789" * 10 + b"\n")
    assert not serial.match
    serial.take(b"z\n")
    assert serial.match and serial.match.start() == 20000 * 101


# an expression, what comes bit by bit: the match before the line is over, and after it
GROWING: dict[str, tuple[str, list[bytes], str | None, str | None]] = {
    "an end that is none": ("tests: 1$", [b"tests: 1", b"0"], None, None),
    "an end": ("tests: 1$", [b"tests: ", b"1", b"\r"], None, "tests: 1"),
    "a number": (r"count \d+", [b"count 1", b"2"], None, "count 12"),
    "a number that is over": (r"count \d+", [b"count 1", b"2 "], "count 12", "count 12"),
    "a prompt": ("login:", [b"login", b":", b" "], "login:", "login:"),
    "a start": ("^b", [b"ab\n", b"b", b"c"], "b", "b"),
    "not what follows": ("ok(?!:)", [b"ok", b": not at all"], None, None),
    "no start": ("^b", [b"a", b"b"], None, None),
}


@pytest.mark.parametrize("name", GROWING)
def test_a_line_that_is_not_over(name: str) -> None:
    pattern, parts, before, after = GROWING[name]
    serial = Console(pattern)
    for part in parts:
        serial.take(part)
    assert (serial.match and serial.match[0]) == before
    serial.take(b"\n")
    assert (serial.match and serial.match[0]) == after


@pytest.mark.parametrize("rest", ["exit", "sleep 60", "while :; do sleep 0.1; echo x; done"])
def test_a_prompt_without_a_newline(rest: str, tmp_path: Path) -> None:
    """Nothing follows it: QEMU ends, or waits for input. Where a line follows it was no prompt."""
    end = Terminal(
        ["sh", "-c", f"printf 'login: '; {rest}", "sh"], tmp_path / "console", 20, "login: ?$"
    )
    if "echo" in rest:
        with pytest.raises(FwbuildError, match="did not come"):
            replace(end, seconds=1).run()
    else:
        assert end.run().how == How.EXPECTED


# a path, and what is there: part of the error
PATHS = {
    "a file": ("file", "is no socket"),
    "a folder": ("folder", "is no socket"),
    "in no folder": ("none/qmp", "its folder is not there"),
    "too long": ("x" * SOCKET_PATH_MAX, "bytes at most"),
}


@pytest.mark.parametrize("name", PATHS)
def test_no_place_for_a_monitor(name: str, tmp_path: Path) -> None:
    path, words = PATHS[name]
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(FwbuildError, match=words):
        monitor_arguments(tmp_path / path)
    assert (tmp_path / "file").exists()


def test_a_monitor() -> None:
    assert monitor_arguments(Path("/tmp/a,b")) == ["-qmp", "unix:/tmp/a,,b,server=on,wait=off"]


# where stdout and stderr go: what stands behind the half line
PLACES = {"a terminal": "\r\n", "a terminal and a file": "\r\n", "a file each": ""}


@pytest.mark.parametrize("name", PLACES)
def test_the_end_of_half_a_line(name: str, tmp_path: Path) -> None:
    """A shell's prompt has a line of its own; a file has the guest's bytes alone."""
    ours, theirs = os.openpty()
    code = (
        "import sys; from pathlib import Path; from fwbuild.qemu.terminal import Terminal;"
        f"Terminal(['sh', '-c', 'printf login:; {SLEEP}'], Path('none'), 60, 'login:').run()"
    )
    with (tmp_path / "out").open("w+b") as out, (tmp_path / "err").open("wb") as err:
        streams: dict[str, tuple[Any, Any]] = {
            "a terminal": (theirs, theirs),
            "a terminal and a file": (theirs, err),
            "a file each": (out, err),
        }
        stdout, stderr = streams[name]
        argv = [sys.executable, "-c", code]
        subprocess.run(argv, stdout=stdout, stderr=stderr, timeout=60, check=True, cwd=tmp_path)
        out.seek(0)
        text = out.read() if stdout is out else os.read(ours, 100)
    os.close(ours)
    os.close(theirs)
    assert text.decode() == f"login:{PLACES[name]}"
