"""The guest's serial port as QEMU's standard output: read as it comes, searched, passed on."""

import io
import os
import re
import selectors
import subprocess
import time
from codecs import getincrementaldecoder
from typing import IO

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.qemu.ending import Ending

CHUNK = 1 << 16


class Console:
    """The text so far, its lines ended by a newline alone, and the first match of `until`, a
    regular expression that stays in a line; ^ and $ are a line's. All that comes goes to `echo`
    at once."""

    def __init__(self, until: str | None, echo: IO[bytes] | None = None) -> None:
        self.text = ""
        self.match: re.Match[str] | None = None
        self._pattern = re.compile(until, re.MULTILINE) if until else None
        decoder = getincrementaldecoder("utf-8")("replace")
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
        self._from = 0  # a line's start; the pattern is in none before
        self._echo = echo

    def read(self, process: subprocess.Popen[bytes], seconds: float | None) -> bool:
        """Read to the end of a QEMU, to the match or for so long. Whether time ran out."""
        assert process.stdout
        end = None if seconds is None else time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not self.match:
                if not selector.select(end and max(0, end - time.monotonic())):
                    return True
                data = os.read(process.stdout.fileno(), CHUNK)
                if not data:
                    process.wait()  # it closes its output as it ends
                    return False
                self.take(data)
        return False

    def take(self, data: bytes) -> None:
        """More of it."""
        if self._echo:
            self._echo.write(data)
            self._echo.flush()
        self.text += self._decoder.decode(data)
        if self._pattern and not self.match:
            self.match = self._pattern.search(self.text, self._from)
            self._from = self.text.rfind("\n") + 1


def did_not_come(until: str, text: str, end: Ending) -> FwbuildError:
    """The error of a guest whose serial port printed `text`, and not `until`."""
    code = end.how.code or ExitCode.UNEXPECTED
    return FwbuildError(code, f"'{until}' did not come: {end.line}", hint=last_line(text))


def last_line(text: str) -> str:
    """What a serial port said last, as a clause."""
    last = (text.strip().splitlines() or [""])[-1]
    return f"the serial port's last line is '{last}'" if last else "the serial port is silent"
