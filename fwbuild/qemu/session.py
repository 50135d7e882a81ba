"""A QEMU process that is waited for at most so long, and ended by whoever started it."""

import ctypes
import re
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from fwbuild.abi import ports
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import stop_codes
from fwbuild.qemu import complaint
from fwbuild.qemu.child import child
from fwbuild.qemu.program import program

Inherited = socket.socket | IO[bytes]
REMARK = re.compile(r"^\[[IRS] |: warning: ")  # of a log of qtest's, or no failure
HINT = "try the same guest with QEMU alone: `fwbuild run --show-command`"
# QEMU, hw/i386/x86.c and multiboot.c: what the complaints of a kernel's loader have
KERNEL_WORDS = re.compile(r"kernel|x86-64 image")
# With -no-reboot QEMU ends at either, with exit status 0.
TOO_EARLY = "the guest reset or powered off too early"
FOR_MACHINE = "is the image made for this machine?"
PR_SET_PDEATHSIG = 1
END_SECONDS = 1  # from closed sockets to the exit status


@dataclass
class Session:
    """A QEMU that was started with some arguments, and where it complains."""

    argv: Sequence[str]
    process: subprocess.Popen[bytes]
    errors: IO[str]

    def failure(self, error: OSError) -> FwbuildError:
        """Why a socket to it gave `error`: the firmware's stop, the guest's end, or QEMU's last
        words."""
        status, complaints = self._status(), self._complaints()
        if stop := stop_of(status):
            return FwbuildError(
                ExitCode.STOPPED, f"the firmware stopped: {stop.what}", hint=stop.hint
            )
        if status == 0 and not last_words(complaints):
            return FwbuildError(ExitCode.JUDGEMENT, TOO_EARLY, hint=FOR_MACHINE)
        cause = str(error)
        if status is not None and status < 0:
            cause = f"a signal ended it: {signal.Signals(-status).name}"
        return failed(self.argv, complaints, cause)

    def last_words(self) -> str:
        """The last line of its complaints, or nothing."""
        return last_words(self._complaints())

    def _complaints(self) -> str:
        self.errors.seek(0)
        return self.errors.read().strip()

    def _status(self) -> int | None:
        """Its exit status, if it has ended: a guest that ends it closes the sockets unannounced."""
        try:
            return self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return None


def last_words(complaints: str) -> str:
    """The last line of them that is no remark, or nothing."""
    lines = complaints.strip().splitlines()
    return ([line for line in lines if not REMARK.search(line)] or [""])[-1]


def failed(argv: Sequence[str], complaints: str, otherwise: str) -> FwbuildError:
    """The error of a QEMU that failed: what it has against its command line, else its last words,
    else `otherwise`."""
    qemu = program()
    if wrong := complaint.explain(qemu, argv, complaints):
        return wrong
    words = last_words(complaints) or otherwise
    hint = HINT
    if "-kernel" in argv[:-1] and KERNEL_WORDS.search(words):
        hint = f"`fwbuild inspect {argv[argv.index('-kernel') + 1]}` says why"
    return FwbuildError(ExitCode.QEMU, f"QEMU {qemu.version} failed: {words}", hint=hint)


def stop_of(status: int | None) -> stop_codes.Stop | None:
    """The firmware's stop that makes QEMU end with an exit status."""
    stops = stop_codes.STOPS
    return next((s for s in stops if ports.debug_exit_status(s.code) == status), None)


def _die_with_parent() -> None:
    """In the child: ask Linux for a SIGKILL when the parent ends, however it does. Source:
    prctl(2)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def started(
    argv: Sequence[str], inherited: Sequence[Inherited] = (), *, apart: bool = False
) -> Iterator[Session]:
    """QEMU with what it inherits; ended when the block is left. Our copies of that are closed,
    so that QEMU's end is seen as the end of the stream.

    `apart` is for a terminal that another program has as well: Ctrl-C does not reach QEMU, which
    ends with this process even if that is killed. No other thread may run then."""
    with tempfile.TemporaryFile("w+") as errors:

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[theirs.fileno() for theirs in inherited],
                start_new_session=apart,
                preexec_fn=_die_with_parent if apart else None,  # noqa: PLW1509 (no other thread)
            )

        with child(start) as process:
            for theirs in inherited:
                theirs.close()
            yield Session(argv, process, errors)


def stub_arguments(theirs: socket.socket, option: str) -> list[str]:
    """Arguments that give QEMU a socket for its `option` ("-qtest" or "-gdb"), and stop it before
    its first instruction (-S). The socket is inherited, so it has no path that could be too long
    or in use."""
    name = option.lstrip("-")  # QEMU 7.2 looks for the qtest device by this name
    chardev = f"socket,id={name},fd={theirs.fileno()}"
    return ["-S", "-chardev", chardev, option, f"chardev:{name}"]


@contextmanager
def stopped(
    argv: list[str],
    option: str,
    seconds: float = 20,
    inherited: Sequence[Inherited] = (),
    *,
    apart: bool = False,
) -> Iterator[socket.socket]:
    """QEMU before its first instruction, and a socket to its `option`; ended when the block is
    left. A reply may take `seconds`; `apart` as for `started`."""
    ours, theirs = socket.socketpair()
    argv = [*argv, *stub_arguments(theirs, option)]
    with ours, theirs, started(argv, [theirs, *inherited], apart=apart) as session:
        ours.settimeout(seconds)
        try:
            yield ours
        except OSError as error:
            raise session.failure(error) from None
