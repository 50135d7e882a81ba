"""QEMU's machine protocol, for tests that follow a guest's life."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fwbuild.qemu.session import stopped


class Qmp:
    """A monitor connection; events are kept until they are asked for.

    Source: QEMU, docs/interop/qmp-spec.txt.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._stream = connection.makefile("rw", encoding="utf-8")
        self.events: list[dict[str, Any]] = []
        self._receive()  # the greeting
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: object) -> Any:
        """Execute a command; its return value."""
        self._stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._stream.flush()
        while True:
            reply = self._receive()
            if "event" in reply:
                self.events.append(reply)
                continue
            assert "return" in reply, reply
            return reply["return"]

    def wait(self, *names: str) -> dict[str, Any]:
        """The first event of one of these names, taken from those that came."""
        while True:
            for event in self.events:
                if event["event"] in names:
                    self.events.remove(event)
                    return event
            self.events.append(self._receive())

    def _receive(self) -> dict[str, Any]:
        line = self._stream.readline()
        if not line:
            raise ConnectionError("QEMU has ended")
        reply: dict[str, Any] = json.loads(line)
        return reply


@contextmanager
def started(argv: list[str], seconds: float = 120) -> Iterator[Qmp]:
    """QEMU before its first instruction; a reply or an event may take `seconds`."""
    with stopped(argv, "-qmp", seconds) as connection:
        yield Qmp(connection)
