"""The guest's serial port as QEMU's standard output: read as it comes, searched, passed on."""

import io
import os
import re
import select
import selectors
import subprocess
import time
from codecs import getincrementaldecoder
from typing import IO

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.qemu.ending import Ending

CHUNK = select.PIPE_BUF  # bytes, what a pipe that may be written to takes at once
SETTLED = 0.5  # seconds of silence after which a line counts as it is


class Console:
    """The text so far, its lines ended by a newline alone, and the first match of `until`, a
    regular expression that stays in a line; ^ and $ are a line's. All that comes goes to `echo`
    at once. What is passed on and not searched is not kept: a guest may print for ever.

    QEMU writes a byte at a time. So a match that reaches the end of an unfinished line waits for
    the line to go on: "tests: 1" may become "tests: 10", which "1$" does not match."""

    def __init__(self, until: str | None, echo: IO[bytes] | None = None) -> None:
        self.match: re.Match[str] | None = None
        self._pattern = re.compile(until, re.MULTILINE) if until else None
        decoder = getincrementaldecoder("utf-8")("replace")
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
        self._lines: list[str] = []  # the pattern is in none of them
        self._from = 0  # how long they are
        self._last = ""  # the line that is not finished
        self._echo = echo

    @property
    def text(self) -> str:
        """All that is kept of what has come."""
        return "".join((*self._lines, self._last))

    @property
    def unfinished(self) -> bool:
        """Whether the last line has no newline."""
        return bool(self._last)

    def read(self, process: subprocess.Popen[bytes], seconds: float | None) -> bool:
        """Read to the end of a QEMU, to the match or for so long. Whether time ran out."""
        assert process.stdout
        end = None if seconds is None else time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not self.match:
                left = None if end is None else max(0, end - time.monotonic())
                if not selector.select(self.patience(left)):
                    return not self.settle()
                data = os.read(process.stdout.fileno(), CHUNK)
                if not data:
                    self.settle()
                    process.wait()  # it closes its output as it ends
                    return False
                if not self._has_room(end):
                    return True
                self.take(data)
        return False

    def _has_room(self, end: float | None) -> bool:
        """Wait until `echo` takes more, to the time `end` at most: a reader of it may be slow.
        Whether it does."""
        try:
            number = self._echo.fileno() if self._echo else None
        except OSError:  # of a stream without a file
            number = None
        if number is None:
            return True
        poll = select.poll()
        poll.register(number, select.POLLOUT)
        left = None if end is None else max(0, end - time.monotonic()) * 1000
        return bool(poll.poll(left))

    def take(self, data: bytes) -> None:
        """More of it."""
        if self._echo:
            self._echo.write(data)
            self._echo.flush()
        self._last += self._decoder.decode(data)
        if self._pattern and not self.match:
            found = self._pattern.search(self._last)
            if found and found.end() < len(self._last):
                self.settle()
        if finished := self._last.rfind("\n") + 1:
            self._lines.append(self._last[:finished])
            self._from += finished
            self._last = self._last[finished:]
        if self._echo and not self._pattern:
            self._lines, self._from, self._last = [], 0, self._last[-1:]

    def patience(self, seconds: float | None) -> float | None:
        """How long to wait for more before `settle`: not longer than `seconds`."""
        if not self._matched():
            return seconds
        return SETTLED if seconds is None else min(SETTLED, seconds)

    def settle(self) -> bool:
        """Take the last line as it is, for no more of it came. Whether the text has a match."""
        if self._pattern and self._matched():
            self.match = self._pattern.search(self.text, self._from)
        return self.match is not None

    def _matched(self) -> bool:
        """Whether the last line has a match that is not taken yet."""
        return bool(self._pattern and not self.match and self._pattern.search(self._last))


def did_not_come(until: str, text: str, end: Ending) -> FwbuildError:
    """The error of a guest whose serial port printed `text`, and not `until`."""
    code = end.how.code or ExitCode.UNEXPECTED
    return FwbuildError(code, f"'{until}' did not come: {end.line}", hint=last_line(text))


def last_line(text: str) -> str:
    """What a serial port said last, as a clause."""
    last = (text.strip().splitlines() or [""])[-1]
    return f"the serial port's last line is '{last}'" if last else "the serial port is silent"
