"""The events of a QEMU that runs on the user's terminal: a monitor of our own, beside theirs."""

import json
import socket
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

Event = dict[str, Any]


class Watch:
    """Collects QEMU's events from its start to its end.

    QEMU is started with `arguments` besides its own, and inherits `fds`. It waits for its monitor
    before its first instruction (-S), so that no event is missed; where `argv` has that option
    itself, the guest waits for whoever gave it. Leave the block after QEMU has ended.

    Source: QEMU, docs/interop/qmp-spec.txt.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self._ours, self._theirs = socket.socketpair()
        fd = self._theirs.fileno()
        chardev = f"socket,id=fwbuild-watch,fd={fd}"
        self.arguments = ["-chardev", chardev, "-mon", "chardev=fwbuild-watch,mode=control"]
        self.fds = [fd]
        commands = ["qmp_capabilities"]
        if "-S" not in argv:
            self.arguments.append("-S")
            commands.append("cont")
        for command in commands:
            self._ours.sendall(json.dumps({"execute": command}).encode() + b"\n")
        self._pool = ThreadPoolExecutor(1)
        self._read: Future[list[Event]] | None = None

    def __enter__(self) -> Self:
        return self

    def begin(self) -> None:
        """QEMU has been started: its end is now the end of the stream."""
        self._theirs.close()
        self._read = self._pool.submit(self._collect)

    def events(self) -> list[Event]:
        """What it told, in order, once it has ended."""
        return self._read.result() if self._read else []

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._theirs.close()
        with suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)
        self._pool.shutdown()
        self._ours.close()

    def _collect(self) -> list[Event]:
        found: list[Event] = []
        # a killed QEMU may reset the stream, or leave half a line
        with suppress(OSError, ValueError), self._ours.makefile(encoding="utf-8") as stream:
            found.extend(json.loads(line) for line in stream)
        return [message for message in found if "event" in message]
