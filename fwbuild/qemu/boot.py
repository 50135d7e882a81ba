"""Boots a guest in QEMU from here, and keeps what it prints."""

import os
import re
import selectors
import subprocess
import tempfile
import time
from codecs import getincrementaldecoder
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import Guest
from fwbuild.qemu import complaint
from fwbuild.qemu.command import command
from fwbuild.qemu.ending import Ending, How, ending
from fwbuild.qemu.program import program
from fwbuild.qemu.watch import Watch

CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Boot:
    """A boot in a real QEMU that is over.

    serial:  the text of the guest's serial port.
    console: the text of the debug console (port 0x402), where fwbuild's firmware says why it stops.
    ending:  how it ended: `ending.how` is a member of How, `ending.line` the same in words.
    match:   the text of the serial port that `until` found; None where nobody asked.
    """

    serial: str
    console: str
    ending: Ending
    match: re.Match[str] | None


class _Reader:
    """The text of a serial port as it comes, searched for a pattern."""

    def __init__(self, until: str | None) -> None:
        self.text = ""
        self.match: re.Match[str] | None = None
        self._pattern = re.compile(until) if until else None
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._from = 0  # a line's start; the pattern is in none before

    def take(self, data: bytes) -> None:
        """More of it."""
        self.text += self._decoder.decode(data)
        if self._pattern and not self.match:
            self.match = self._pattern.search(self.text, self._from)
            self._from = self.text.rfind("\n") + 1


def boot(guest: Guest, bios: Path, *, until: str | None, seconds: float) -> Boot:
    """Run a guest until it ends, the serial port has printed `until`, a regular expression that
    stays in a line, or `seconds` have passed. Raises FwbuildError where QEMU fails."""
    reader = _Reader(until)
    with tempfile.TemporaryDirectory(prefix="fwbuild-") as folder, tempfile.TemporaryFile() as said:
        console = Path(folder) / "console"
        argv = [*command(guest, bios=bios, console=console), "-serial", "stdio"]
        with Watch(argv) as watch:
            with subprocess.Popen(
                [*argv, *watch.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                pass_fds=watch.fds,
            ) as process:
                watch.begin()
                try:
                    late = _read(process, reader, seconds)
                finally:
                    process.kill()
            events = watch.events()
        debug = console.read_text(errors="replace") if console.exists() else ""
        said.seek(0)
        complaints = said.read().decode(errors="replace")
    end = ending(process.returncode, events, debug, seconds if late else None)
    if reader.match:
        end = Ending(How.CLOSED, process.returncode)
    if end.how == How.FAILURE:
        raise _failure(argv, end, complaints)
    return Boot(serial=reader.text, console=debug, ending=end, match=reader.match)


def _read(process: subprocess.Popen[bytes], reader: _Reader, seconds: float) -> bool:
    """Read the serial port to its end, to the match or for so long. Whether time ran out."""
    assert process.stdout
    end = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not reader.match:
            if not selector.select(max(0, end - time.monotonic())):
                return True
            if not (data := _some(process.stdout)):
                process.wait()  # it closes its output as it ends
                return False
            reader.take(data)
    return False


def _some(stream: IO[bytes]) -> bytes:
    return os.read(stream.fileno(), CHUNK)


def _failure(argv: list[str], end: Ending, complaints: str) -> FwbuildError:
    qemu = program()
    if wrong := complaint.explain(qemu, argv, complaints):
        return wrong
    last = (complaints.strip().splitlines() or [end.line])[-1]
    return FwbuildError(ExitCode.QEMU, f"QEMU {qemu.version} failed: {last}")
