"""Boots a guest in QEMU from here, and keeps what it prints."""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fwbuild.guest import Guest
from fwbuild.qemu.child import child
from fwbuild.qemu.command import command
from fwbuild.qemu.console import Console
from fwbuild.qemu.ending import Ending, How, ending
from fwbuild.qemu.session import failed
from fwbuild.qemu.watch import Watch


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


def boot(guest: Guest, bios: Path, *, until: str | None, seconds: float) -> Boot:
    """Run a guest until it ends, the serial port has printed `until`, a regular expression that
    stays in a line, or `seconds` have passed. Raises FwbuildError where QEMU fails."""
    serial = Console(until)
    with tempfile.TemporaryDirectory(prefix="fwbuild-") as folder, tempfile.TemporaryFile() as said:
        console = Path(folder) / "console"
        argv = [*command(guest, bios=bios, console=console), "-serial", "stdio"]
        with Watch(argv) as watch:

            def start() -> subprocess.Popen[bytes]:
                return subprocess.Popen(
                    [*argv, *watch.arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    pass_fds=watch.fds,
                )

            with child(start) as process:
                watch.begin()
                late = serial.read(process, seconds)
            events = watch.events()
        debug = console.read_text(errors="replace") if console.exists() else ""
        said.seek(0)
        complaints = said.read().decode(errors="replace")
    end = ending(process.returncode, events, debug, seconds if late else None)
    if serial.match:
        end = Ending(How.EXPECTED, process.returncode, serial.match[0])
    if end.how == How.FAILURE:
        raise failed(argv, complaints, end.line)
    return Boot(serial=serial.text, console=debug, ending=end, match=serial.match)
