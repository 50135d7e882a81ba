"""What is printed on a terminal, and in a pipe."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from fwbuild.errors import ExitCode

ESCAPE = "\x1b"
COLOURS = ("\x1b[31", "\x1b[32", "\x1b[1;31", "\x1b[38;")
TEMPLATES = ("templates", "linux")
PAUSED = """
from fwbuild.verbs.printing import Working, output
with Working("one") as shown:
    shown.say("two")
    with shown.paused():
        output().print("a table")
"""


def on_terminals(
    *command: str, out: bool = True, err: bool = True, **environment: str
) -> tuple[str, str, int]:
    """Standard output and error of a command of Python's, each by a terminal or by a pipe, and its
    status."""
    ends = {name: pty.openpty() if tty else os.pipe() for name, tty in (("o", out), ("e", err))}
    with subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.DEVNULL,
        stdout=ends["o"][1],
        stderr=ends["e"][1],
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", **environment},
    ) as process:
        texts = []
        for _, theirs in ends.values():
            os.close(theirs)
        for ours, _ in ends.values():
            text = b""
            try:
                while data := os.read(ours, 1 << 16):
                    text += data
            except OSError:
                pass  # the terminal's other end is closed
            os.close(ours)
            texts.append(text.decode().replace("\r\n", "\n"))
    return texts[0], texts[1], process.returncode


def verb(*arguments: str, **more: bool | str) -> tuple[str, str, int]:
    return on_terminals("-m", "fwbuild", *arguments, **more)  # type: ignore[arg-type]


def test_a_pipe_gets_text() -> None:
    out, err, status = verb(*TEMPLATES, out=False, err=False)
    assert (err, status) == ("", ExitCode.OK)
    assert ESCAPE not in out and "  microvm " in out


def test_a_log_that_wants_colours_gets_no_progress() -> None:
    """FORCE_COLOR is what a CI job has."""
    out, err, _ = verb(*TEMPLATES, out=False, err=False, FORCE_COLOR="1")
    assert ESCAPE in out and err == ""


def test_progress_is_on_the_terminal_alone() -> None:
    plain, _, _ = verb(*TEMPLATES, out=False, err=False)
    out, err, _ = verb(*TEMPLATES, out=False)
    assert out == plain
    assert "building and counting linux" in err
    assert err.rstrip().endswith("\x1b[2K")  # and is gone at the end


def test_a_table_does_not_go_where_progress_is() -> None:
    out, err, status = on_terminals("-c", PAUSED, out=False)
    assert (out, status) == ("a table\n", 0)
    assert "a table" not in err and "two" in err


def test_an_error_is_coloured_on_a_terminal() -> None:
    line = "fwbuild: error: no verb 'nosuch'"
    _, err, status = verb("nosuch")
    assert status == ExitCode.USAGE and "\x1b[1;31merror: \x1b[0m" in err
    _, err, _ = verb("nosuch", err=False)
    assert err.startswith(line)


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colours(variables: dict[str, str]) -> None:
    _, err, _ = verb("nosuch", **variables)
    out, more, _ = verb(*TEMPLATES, **variables)
    assert not any(colour in text for colour in COLOURS for text in (err, out, more))
    assert "dumb" not in variables.values() or ESCAPE not in err + out + more


@pytest.mark.parametrize("columns", ["60", "200"])
def test_a_table_fits_the_terminal(columns: str) -> None:
    out, _, _ = verb(*TEMPLATES, err=False, TERM="dumb", COLUMNS=columns)
    assert max(len(line) for line in out.splitlines()) <= int(columns)


def test_a_file_in_progress_cannot_command_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "\x1b]0;title\x07[red]"
    path.write_bytes(b"x")
    _, err, _ = verb("inspect", str(path), out=False)
    assert "\x1b]0;" not in err and "[red]" in err
