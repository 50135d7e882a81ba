"""The events of a boot, and how stops, bytes and the end of a run become their times.

The names are those of the measurement that this project started from (the cover letter of QEMU's
"PVH boot" series, 2018). All times here are nanoseconds of CLOCK_REALTIME, the clock by which the
kernel stamps a datagram; in a Run they are milliseconds since QEMU was started.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from itertools import takewhile

from fwbuild.firmware.trace import Stage

NS_PER_MS = 1_000_000


class Seen(Enum):
    """How the bench sees an event."""

    OUTSIDE = "the guest has run nothing yet"
    BREAKPOINT = "the CPU stops at an address"
    TRACE_PORT = "the guest writes to the trace port"
    CONSOLE = "a line of the guest's serial port has a text"


class Event(StrEnum):
    """The events in the order in which they come. Tables, pictures and options are made from
    these rows, so an event that is declared here is in all of them.

    phase:  names the time from the event before.
    light:  its colour in pictures on a white page, #rrggbb.
    dark:   the same on a black one.
    seen:   how the bench sees it.
    """

    phase: str
    light: str
    dark: str
    seen: Seen

    def __new__(cls, name: str, phase: str, light: str, dark: str, seen: Seen) -> "Event":
        event = str.__new__(cls, name)
        event._value_ = name
        event.phase, event.light, event.dark, event.seen = phase, light, dark, seen
        return event

    # QEMU has made the machine: it answers, and has run nothing
    QEMU_INIT_END = (
        "qemu_init_end", "QEMU makes the machine",
        "#8a949e", "#77828d", Seen.OUTSIDE)  # fmt: skip
    # the CPU is released
    FW_START = (
        "fw_start", "CPU released",
        "#3d4650", "#c3ccd5", Seen.OUTSIDE)  # fmt: skip
    # the kernel's first instruction, at whichever of its entries
    FW_DO_BOOT = (
        "fw_do_boot", "firmware",
        "#c9470a", "#ff8a4c", Seen.BREAKPOINT)  # fmt: skip
    # the 64-bit entry of the unpacked kernel
    STARTUP_64 = (
        "linux_startup_64", "to the kernel's 64-bit entry (a bzImage unpacks itself)",
        "#7a5ea8", "#b79be6", Seen.BREAKPOINT)  # fmt: skip
    # the kernel's first line of C
    START_KERNEL = (
        "linux_start_kernel", "to start_kernel",
        "#0b7a8c", "#45c0d2", Seen.BREAKPOINT)  # fmt: skip
    # the first user program runs
    START_USER = (
        "linux_start_user", "kernel, to the first user program",
        "#2f6fd0", "#7aaaf5", Seen.TRACE_PORT)  # fmt: skip
    # the line that the user waits for
    CONSOLE_LINE = (
        "console_line", "to the line on the console",
        "#2c7a43", "#6fd08c", Seen.CONSOLE)  # fmt: skip

    def earlier(self) -> "tuple[Event, ...]":
        """The events before it, in order."""
        return tuple(takewhile(lambda event: event is not self, Event))


@dataclass(frozen=True)
class Step:
    """An event that a breakpoint shows: the first of its linear addresses that is reached."""

    event: Event
    addresses: tuple[int, ...]


@dataclass
class Run:
    """One boot. `events` and `total` (to QEMU's end) are milliseconds since QEMU was started,
    `stages` the same of each trace point that the firmware passed, in order. `entry` is where
    the kernel was entered, `cpu` the milliseconds that all of QEMU's threads had run for by then,
    `failure` why it did not get to its end, or nothing."""

    events: dict[str, float] = field(default_factory=dict)
    stages: list[tuple[str, float]] = field(default_factory=list)
    total: float | None = None
    entry: int | None = None
    cpu: float | None = None
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
