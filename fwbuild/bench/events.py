"""The six events of a boot, and how stops, bytes and the end of a run become their times.

The names are those of the measurement that this project started from (the cover letter of QEMU's
"PVH boot" series, 2018). All times here are nanoseconds of CLOCK_REALTIME, the clock by which the
kernel stamps a datagram; in a Run they are milliseconds since QEMU was started.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from fwbuild.firmware.trace import Stage

NS_PER_MS = 1_000_000


class Event(StrEnum):
    """In the order in which they come."""

    QEMU_INIT_END = "qemu_init_end"  # the machine is made: QEMU answers, and has run nothing
    FW_START = "fw_start"  # the CPU is released
    FW_DO_BOOT = "fw_do_boot"  # the kernel's first instruction, at whichever of its entries
    STARTUP_64 = "linux_startup_64"  # the 64-bit entry of the unpacked kernel
    START_KERNEL = "linux_start_kernel"  # its first line of C
    START_USER = "linux_start_user"  # the first user program runs


@dataclass(frozen=True)
class Step:
    """An event that a breakpoint shows: the first of its linear addresses that is reached."""

    event: Event
    addresses: tuple[int, ...]


@dataclass
class Run:
    """One boot. `events` and `total` (to QEMU's end) are milliseconds since QEMU was started,
    `stages` the same of each trace point that the firmware passed, in order. `entry` is where
    the kernel was entered, `failure` why it did not get to its end, or nothing."""

    events: dict[str, float] = field(default_factory=dict)
    stages: list[tuple[str, float]] = field(default_factory=list)
    total: float | None = None
    entry: int | None = None
    failure: str = ""

    @property
    def last(self) -> str:
        """The last event that was seen."""
        return max(self.events, key=lambda name: self.events[name], default="its start")


def milliseconds(since: int, until: int) -> float:
    """A span of nanoseconds, to the microsecond."""
    return round((until - since) / NS_PER_MS, 3)


def read_trace(start: int, writes: Iterable[tuple[int, bytes]]) -> list[tuple[Stage, float]]:
    """The stages that bytes at the trace port tell, in order: (nanoseconds, bytes) each. What is
    no stage's number is somebody else's and left out."""
    known = set(Stage)
    return [
        (Stage(number), milliseconds(start, at))
        for at, data in writes
        for number in data
        if number in known
    ]


def run_of(
    start: int, stops: Mapping[Event, int], writes: Iterable[tuple[int, bytes]], end: int | None
) -> Run:
    """A run from its raw times: when QEMU was started, when each event was seen from outside,
    what was written to the trace port, and when QEMU ended. The last two tell stages and the
    first user program."""
    run = Run({str(event): milliseconds(start, at) for event, at in stops.items()})
    for stage, at in read_trace(start, writes):
        if stage == Stage.USER:
            run.events.setdefault(str(Event.START_USER), at)
        elif Event.START_USER not in run.events:
            run.stages.append((stage.name.lower(), at))
    run.total = None if end is None else milliseconds(start, end)
    return run
