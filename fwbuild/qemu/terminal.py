"""QEMU on the user's terminal: the guest's serial port is its standard input and output.

QEMU writes to a terminal itself. Into a file or a pipe fwbuild writes for it, since QEMU loses what
they do not take, without a word.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fwbuild.qemu import complaint
from fwbuild.qemu.child import child
from fwbuild.qemu.console import Console, did_not_come
from fwbuild.qemu.ending import Ending, How, ending
from fwbuild.qemu.program import program
from fwbuild.qemu.watch import Watch

END_SECONDS = 5  # for QEMU to write its disks back
OURS = f" terminating on signal {signal.SIGTERM} from pid {os.getpid()} "  # at our own end of it


@dataclass(frozen=True)
class Terminal:
    """How QEMU is run.

    argv:    its command line, but for the serial port.
    console: the file that the debug console goes to.
    seconds: after which it is ended; None for never.
    expect:  a regular expression. QEMU is ended as soon as a line of the serial port has it.
    """

    argv: Sequence[str]
    console: Path
    seconds: float | None = None
    expect: str | None = None

    @property
    def command(self) -> list[str]:
        """QEMU's command line."""
        return [*self.argv, "-serial", "stdio"]

    def run(self) -> Ending:
        """Run it to its end. Raises FwbuildError where QEMU does not take its command line, where
        the guest ended badly, and where `expect` did not come."""
        direct = sys.stdout.isatty() and not self.expect
        serial = None if direct else Console(self.expect, sys.stdout.buffer)
        end, complaints = self._run(serial)
        if end.how == How.FAILURE:
            error = complaint.explain(program(), self.argv, complaints)
            if error:
                raise error
        if serial and self.expect and not serial.match:
            raise did_not_come(self.expect, serial.text, end)
        end.check()
        return end

    def _run(self, serial: Console | None) -> tuple[Ending, str]:
        """How QEMU and its guest ended, and what it said of its command line; the rest it says
        at once."""
        with Watch(self.argv) as watch:

            def start() -> subprocess.Popen[bytes]:
                return subprocess.Popen(
                    [*self.command, *watch.arguments],
                    stdout=subprocess.PIPE if serial else None,
                    stderr=subprocess.PIPE,
                    pass_fds=watch.fds,
                )

            with child(start) as process, ThreadPoolExecutor(1) as pool:
                watch.begin()
                complaints = pool.submit(_pass_on, process)
                try:
                    late = self._wait(process, serial)
                finally:
                    process.kill()
            seconds = self.seconds if late else None
            end = ending(process.wait(), watch.events(), self._debug(), seconds)
        if serial and serial.unfinished:
            _end_line()
        if serial and serial.match:
            end = Ending(How.EXPECTED, end.status, serial.match[0])
        return end, complaints.result()

    def _wait(self, process: subprocess.Popen[bytes], serial: Console | None) -> bool:
        """Wait for QEMU's end, or end it. Whether time ran out."""
        if not serial:
            try:
                process.wait(self.seconds)
            except subprocess.TimeoutExpired:
                return True
            return False
        late = serial.read(process, self.seconds)
        if serial.match:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
        return late

    def _debug(self) -> str:
        return self.console.read_text(errors="replace") if self.console.exists() else ""


def _end_line() -> None:
    """What comes next is not the guest's: a line of ours, or a shell's prompt."""
    if one_place():
        sys.stderr.write("\n")
    elif sys.stdout.isatty():
        sys.stdout.write("\n")
        sys.stdout.flush()


def one_place() -> bool:
    """Whether stdout and stderr are one terminal, pipe or file."""
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except OSError:  # of a stream without a file
        return False


def _pass_on(process: subprocess.Popen[bytes]) -> str:
    """Write what QEMU says to stderr, but for what complaint.explain says better."""
    kept = []
    for raw in process.stderr or ():
        line = raw.decode(errors="replace")
        if OURS in line:
            continue
        if complaint.is_about_arguments(line):
            kept.append(line)
        else:
            sys.stderr.write(line)
            sys.stderr.flush()
    return "".join(kept)
