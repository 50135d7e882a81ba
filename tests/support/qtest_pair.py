"""The same accesses on QEMU by qtest and on the emulated machine: one answer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from fwbuild.emulator.machine import Machine
from fwbuild.emulator.recording import Recording
from fwbuild.guest import Guest
from fwbuild.qemu.command import command
from fwbuild.qemu.qtest import Qtest
from fwbuild.qemu.record import record
from fwbuild.qemu.session import stopped

IMAGE = bytes(0x10000)


class Side(Protocol):
    """A machine to make accesses on: Qtest is one."""

    def port_in(self, port: int, size: int) -> int: ...

    def port_out(self, port: int, size: int, value: int) -> None: ...

    def read(self, address: int, size: int) -> int: ...

    def write(self, address: int, size: int, value: int) -> None: ...


class Emulated:
    """The emulated machine, accessed as its CPU would."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def port_in(self, port: int, size: int) -> int:
        return self.machine._on_in(self.machine.uc, port, size, None)

    def port_out(self, port: int, size: int, value: int) -> None:
        self.machine._on_out(self.machine.uc, port, size, value, None)

    def read(self, address: int, size: int) -> int:
        return self.machine.board.mmio.read(address, size)

    def write(self, address: int, size: int, value: int) -> None:
        self.machine.board.mmio.write(address, size, value)


def port_in(port: int, size: int) -> Callable[[Side], int]:
    return lambda side: side.port_in(port, size)


def port_out(port: int, size: int, value: int) -> Callable[[Side], None]:
    return lambda side: side.port_out(port, size, value)


def reading(address: int, size: int) -> Callable[[Side], int]:
    return lambda side: side.read(address, size)


def writing(address: int, size: int, value: int) -> Callable[[Side], None]:
    return lambda side: side.write(address, size, value)


@dataclass
class Pair:
    """The two machines of a recording."""

    real: Qtest
    ours: Emulated
    recording: Recording

    def do(self, access: Callable[[Side], object]) -> None:
        """The same on both."""
        access(self.real)
        access(self.ours)

    def same(self, read: Callable[[Side], int], what: str) -> int:
        """The same read on both, which must give the same."""
        real, ours = read(self.real), read(self.ours)
        assert ours == real, f"{what}: {ours:#x}, in QEMU {real:#x}"
        return real


@contextmanager
def pair(guest: Guest) -> Iterator[Pair]:
    """A QEMU at reset, and the emulated machine of its recording."""
    recording = record(guest)
    with stopped(command(guest), "-qtest") as connection:
        yield Pair(Qtest(connection), Emulated(Machine(IMAGE, recording)), recording)
