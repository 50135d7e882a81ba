"""The serial port of a QEMU, read until a line has the text that ends a boot."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fwbuild.qemu.console import CHUNK, Console, last_line

NAME = "fwbuild-serial"


class SerialPort:
    """Our end (`ours`), QEMU's (`theirs`), and the text so far. Where no line is awaited the guest
    has no such port."""

    def __init__(self, until: str | None) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.until = until
        self.console = Console(until)
        used = until is not None
        self.inherited: Sequence[socket.socket] = [self.theirs] if used else []
        self.watched: Sequence[socket.socket] = [self.ours] if used else []

    def added(self, argv: Sequence[str]) -> list[str]:
        """A QEMU's command line with the port, as its first."""
        if self.until is None:
            return list(argv)
        chardev = f"socket,id={NAME},fd={self.theirs.fileno()}"
        return [argv[0], "-chardev", chardev, "-serial", f"chardev:{NAME}", *argv[1:]]

    @property
    def found(self) -> bool:
        """Whether the line has come."""
        return self.console.match is not None

    def drain(self) -> bool:
        """Take what has come; False once QEMU is gone."""
        while True:
            try:
                data = self.ours.recv(CHUNK)
            except BlockingIOError:
                return True
            except OSError:
                data = b""
            if not data:
                self.console.settle()
                return False
            self.console.take(data)

    def lacks(self, reason: str) -> str:
        """Why the boot is a failure that ended without the line, for `reason` or for none."""
        if self.until is None or self.found:
            return reason
        said = last_line(self.console.text)
        return f"'{self.until}' did not come ({said}): {reason or 'the guest ended'}"


@contextmanager
def with_serial_port(until: str | None) -> Iterator[SerialPort]:
    """A serial port, closed at the end."""
    port = SerialPort(until)
    with port.ours, port.theirs:
        yield port
