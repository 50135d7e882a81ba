"""QEMU, the relay and a gdb, from start to end."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import FrameType

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.gdb.relay import Relay, serve_all
from fwbuild.qemu.child import child
from fwbuild.qemu.console import Console
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.monitor import SOCKET_PATH_MAX
from fwbuild.qemu.session import stopped
from fwbuild.qemu.terminal import one_place

NAME = "gdb"
SOCKET = "gdb.sock"
SECONDS = 20  # for QEMU to answer
SERIAL = "fwbuild-serial"
PIPE_SIZE = 1 << 20  # bytes, what Linux lets any user have


def find(program: str | None) -> str:
    """The path of the gdb that is named, or of the one on PATH. Raises FwbuildError."""
    if path := shutil.which(program or NAME):
        return path
    if program:
        raise FwbuildError(ExitCode.QEMU, "no program", where=program, hint="--gdb takes a gdb")
    raise FwbuildError(
        ExitCode.QEMU,
        "no gdb on this machine",
        hint="Debian's package is gdb; --gdb names one elsewhere, --wait does without",
    )


@contextmanager
def folder() -> Iterator[Path]:
    """A folder of this user's alone, with room for a socket's path."""
    long = len(f"{tempfile.gettempdir()}/fwbuild-12345678/{SOCKET}") > SOCKET_PATH_MAX
    with tempfile.TemporaryDirectory(prefix="fwbuild-", dir="/tmp" if long else None) as name:
        yield Path(name)


@contextmanager
def listening(argv: Sequence[str], path: Path) -> Iterator[None]:
    """QEMU before its first instruction, and the relay for gdbs at the socket `path`; both end
    when the block is left."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    # a socket would be full after some hundred characters, and QEMU drops what does not fit
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    serial = ["-chardev", f"file,id={SERIAL},path=/dev/fd/{writer}", "-serial", f"chardev:{SERIAL}"]
    with (
        os.fdopen(reader, "rb", 0),
        os.fdopen(writer, "wb", 0) as theirs,
        socket.socket(socket.AF_UNIX) as listener,
        stopped([*argv, *serial], "-gdb", SECONDS, [theirs], apart=True) as connection,
    ):
        relay = Relay(GdbStub(connection), reader)
        listener.bind(str(path))
        listener.listen()
        server = Thread(target=serve_all, args=(relay, listener))
        server.start()
        try:
            yield
        finally:
            relay.close()
            listener.shutdown(socket.SHUT_RDWR)
            server.join()


def run_gdb(argv: Sequence[str]) -> int:
    """Run gdb on this terminal; its exit status. Ctrl-C is gdb's alone; what would end this
    process ends gdb first."""
    process: subprocess.Popen[bytes] | None = None

    def ignore(_number: int, _frame: FrameType | None) -> None:
        pass  # and not SIG_IGN, which gdb would inherit

    def end(_number: int, _frame: FrameType | None) -> None:
        if process:
            process.terminate()

    with _handled(signal.SIGINT, ignore):
        if not sys.stdout.isatty():
            return _run_into_file(argv)
        with _handled(signal.SIGTERM, end), _handled(signal.SIGHUP, end):
            process = subprocess.Popen(argv)
            return process.wait()


def _run_into_file(argv: Sequence[str]) -> int:
    """The same where standard output is no terminal: what gdb prints is written for it, since gdb
    does not tell what is lost."""
    errors = subprocess.STDOUT if one_place() else None  # in their order
    with child(lambda: subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=errors)) as process:
        Console(None, sys.stdout.buffer).read(process, None)
        return process.wait()


@contextmanager
def _handled(
    number: signal.Signals, handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
