"""Boots a guest once and says when the events were: with instruments, and without any.

A traced run holds QEMU before the first instruction, releases it through its gdb stub, and sets
one hardware breakpoint after the other. A plain run is QEMU as a user starts it, timed from
outside. Either may end at a line of the guest's serial port.
"""

import os
import select
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fwbuild.abi import ports
from fwbuild.bench.events import Event, Run, Seen, Step, milliseconds, run_of
from fwbuild.bench.serial_port import SerialPort, with_serial_port
from fwbuild.bench.trace_port import TracePort
from fwbuild.firmware import bench
from fwbuild.guest import Guest
from fwbuild.qemu.command import command
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.session import Session, started, stop_of, stub_arguments

BREAKPOINT = "T05"  # how the stub reports one
NS = 1_000_000_000
SILENCE = "nothing more came in time"
GUEST_RESET = 0  # QEMU's exit status where -no-reboot ends it


def traced(
    guest: Guest,
    bios: Path,
    steps: Sequence[Step],
    seconds: float,
    last: Event = Event.START_USER,
    until: str | None = None,
) -> Run:
    """Boot with instruments up to the event `last`, that of the last step at the least. `until`
    is the regular expression of CONSOLE_LINE."""
    ours, theirs = socket.socketpair()
    port = TracePort()
    argv = [*command(guest, bios=bios), *port.arguments(), *stub_arguments(theirs, "-gdb")]
    with ours, theirs, port.ours, port.theirs, with_serial_port(until) as serial:
        start = time.time_ns()
        inherited = [theirs, port.theirs, *serial.inherited]
        with started(serial.added(argv), inherited) as session:
            boot = _Boot(session, ours, port, serial, steps, last)
            failure = boot.run(start + int(seconds * NS))
        port.drain()
    run = run_of(start, boot.stops, port.writes, boot.end)
    run.entry, run.cpu = boot.entry, boot.cpu
    run.failure = failure and f"{failure} after {run.last}"
    return run


def plain(guest: Guest, bios: Path, seconds: float, until: str | None = None) -> Run:
    """Boot without instruments, to QEMU's end or to the line: `total` is all that is known."""
    with with_serial_port(until) as serial:
        start = time.time_ns()
        with started(serial.added(command(guest, bios=bios)), serial.inherited) as session:
            failure, end = wait_for_end(session, serial, seconds)
    return Run(total=None if failure else milliseconds(start, end), failure=failure)


def wait_for_end(session: Session, serial: SerialPort, seconds: float) -> tuple[str, int]:
    """Wait for a boot's end, at QEMU's or at the line: (why it did not get there, or nothing;
    when that was, in nanoseconds)."""
    deadline = time.time_ns() + int(seconds * NS)
    process = os.pidfd_open(session.process.pid)
    try:
        return _wait(session, serial, process, deadline)
    finally:
        os.close(process)


def _wait(session: Session, serial: SerialPort, process: int, deadline: int) -> tuple[str, int]:
    watched: list[Any] = [process, *serial.watched]
    while (left := deadline - time.time_ns()) > 0:
        ready, _, _ = select.select(watched, [], [], left / NS)
        now = time.time_ns()
        if not serial.drain() and serial.ours in watched:
            watched.remove(serial.ours)
        if serial.found:
            return "", now
        if process in ready:
            return serial.lacks(_reason(session)), now
    return serial.lacks(SILENCE), deadline


class _Boot:
    """One traced boot: what was seen, and what is awaited."""

    def __init__(
        self,
        session: Session,
        connection: socket.socket,
        port: TracePort,
        serial: SerialPort,
        steps: Sequence[Step],
        last: Event,
    ) -> None:
        self.session, self.connection = session, connection
        self.port, self.serial = port, serial
        self.stub = GdbStub(connection)
        self.steps, self.last = list(steps), last
        self.stops: dict[Event, int] = {}
        self.entry: int | None = None
        self.cpu: float | None = None
        self.end: int | None = None

    def run(self, deadline: int) -> str:
        """Why it did not get where it should, or nothing. The deadline is in nanoseconds."""
        self.connection.settimeout(max(0, (deadline - time.time_ns()) / NS))
        process = os.pidfd_open(self.session.process.pid)
        try:
            self.stub.command("?")
            self.stops[Event.QEMU_INIT_END] = time.time_ns()
            self._await_next()
            self.stops[Event.FW_START] = time.time_ns()
            self.stub.send("c")
            return self._follow(process, deadline)
        except OSError as error:
            return self.session.failure(error).what
        finally:
            os.close(process)

    def _follow(self, process: int, deadline: int) -> str:
        serial = self.serial
        watched: list[Any] = [process, self.port.ours, self.connection, *serial.watched]
        came = 0  # when the serial port's last bytes did
        while (left := deadline - time.time_ns()) > 0:
            ready, _, _ = select.select(watched, [], [], serial.console.patience(left / NS))
            now = time.time_ns()
            if serial.ours in ready:
                came = now
            elif not ready and serial.console.settle():
                now = came
            if not serial.drain() and serial.ours in watched:
                watched.remove(serial.ours)
            if serial.found:
                self.stops[Event.CONSOLE_LINE] = self.end = now
                return ""
            if process in ready:
                self.end = now
                return serial.lacks(_reason(self.session))
            if self.port.ours in ready and not self.port.drain():
                watched.remove(self.port.ours)
            if self.connection in ready:
                try:
                    reply = self.stub.receive()
                except OSError:
                    watched.remove(self.connection)  # QEMU is about to end
                    continue
                if reply and reply.startswith(BREAKPOINT):
                    self._reached(now)
                    if not self.steps and self.last.seen is Seen.BREAKPOINT:
                        return ""
                    self.stub.send("c")
                elif reply and reply.startswith("T"):
                    return f"the CPU stopped ({reply})"
        return serial.lacks(SILENCE)

    def _await_next(self) -> None:
        for address in self.steps[0].addresses if self.steps else ():
            self.stub.set_breakpoint(address)

    def _reached(self, now: int) -> None:
        step = self.steps.pop(0)
        self.stops[step.event] = now
        if step.event == Event.FW_DO_BOOT:
            self.cpu = cpu_time(self.session.process.pid)
            pointer = self.stub.instruction_pointer()
            # in real mode it counts from CS, and only the first address is entered there
            self.entry = pointer if pointer in step.addresses else step.addresses[0]
        for address in step.addresses:
            self.stub.clear_breakpoint(address)
        self._await_next()


def _reason(session: Session) -> str:
    """Why QEMU ended before the first user program ended it, or nothing."""
    status = session.process.wait()
    if status == ports.debug_exit_status(bench.EXIT_USER):
        return ""
    if stop := stop_of(status):
        return f"the firmware stopped: {stop.what}"
    if status == GUEST_RESET:
        return "the guest reset itself"
    words = session.last_words()
    return f"QEMU ended with status {status}" + (f": {words}" if words else "")


def cpu_time(process: int) -> float:
    """The milliseconds that the threads of a process have run for. Source: Linux,
    Documentation/scheduler/sched-stats.rst, "/proc/<pid>/schedstat"."""
    threads = Path(f"/proc/{process}/task").glob("*/schedstat")
    return milliseconds(0, sum(int(path.read_text().split()[0]) for path in threads))
