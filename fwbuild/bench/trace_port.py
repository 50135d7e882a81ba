"""The trace port of a QEMU: an isa-debugcon whose bytes the kernel stamps as they are written.

Its character device is a datagram socket, so that each write of the guest's is a message of its
own, with the time at which QEMU sent it: a reader that wakes up late costs nothing.
"""

import socket
import struct
from collections.abc import Iterable

from fwbuild.firmware import trace

SO_TIMESTAMPNS = 35  # Linux, include/uapi/asm-generic/socket.h; the answer's type is the same
TIMESPEC = struct.Struct("qq")  # seconds, nanoseconds
SIZE = 256  # bytes of a message


class TracePort:
    """Our end (`ours`), QEMU's (`theirs`), and what was written so far: (nanoseconds, bytes)."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ours.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.ours.setblocking(False)
        self.writes: list[tuple[int, bytes]] = []

    def arguments(self) -> list[str]:
        """The arguments that give QEMU the port."""
        return [
            "-chardev",
            f"socket,id=trace,fd={self.theirs.fileno()}",
            "-device",
            f"isa-debugcon,iobase={trace.PORT:#x},chardev=trace",
        ]

    def drain(self) -> bool:
        """Take what has come; False once QEMU is gone."""
        while True:
            try:
                data, ancillary, _, _ = self.ours.recvmsg(SIZE, socket.CMSG_SPACE(TIMESPEC.size))
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            self.writes.append((stamp(ancillary), data))

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


def stamp(ancillary: Iterable[tuple[int, int, bytes]]) -> int:
    """The time in a message's ancillary data, in nanoseconds."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = TIMESPEC.unpack(data)
            return int(seconds * 1_000_000_000 + nanoseconds)
    raise OSError("a datagram without its time")
