"""How a guest ended: from QEMU's exit status, its events, and the firmware's line."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from fwbuild.abi import ports
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import stop_codes
from fwbuild.firmware.stop_codes import Stop
from fwbuild.qemu.watch import Event


class How(Enum):
    """What ended it, and the exit code of `fwbuild run`."""

    POWER_OFF = ExitCode.OK, "the guest powered off"
    RESET = ExitCode.OK, "the guest reset"
    EXIT = ExitCode.OK, "the guest wrote to isa-debug-exit"
    CLOSED = ExitCode.OK, "QEMU was told to end"
    EXPECTED = ExitCode.OK, "the guest printed what was expected"
    STOP = ExitCode.STOPPED, "the firmware stopped"
    PANIC = ExitCode.PANICKED, "the guest panicked"
    TIMEOUT = ExitCode.TIMEOUT, "the guest was still running"
    SIGNAL = ExitCode.QEMU, "QEMU was ended by a signal"
    FAILURE = ExitCode.QEMU, "QEMU failed"

    def __init__(self, code: ExitCode, what: str) -> None:
        self.code = code
        self.what = what


HINTS = {How.FAILURE: "its own words are above; `fwbuild inspect KERNEL` tells what it takes"}
# QEMU's reasons to end (qapi/run-state.json ShutdownCause); the others are the host's wish
REASONS = {
    "guest-shutdown": How.POWER_OFF,
    "guest-reset": How.RESET,
    "guest-panic": How.PANIC,
    "host-signal": How.SIGNAL,
    "host-error": How.FAILURE,
}
GUESTS_OWN = (How.POWER_OFF, How.RESET, How.PANIC)
# isa-debug-exit may be elsewhere than the firmware's: if its line is the last, it stopped.
FIRMWARE_TOO = (How.RESET, How.PANIC, How.TIMEOUT)


@dataclass(frozen=True)
class Ending:
    """How a guest ended, and QEMU's exit status; in `detail` more of it: a signal's name, an exit
    value, seconds."""

    how: How
    status: int
    detail: str = ""
    stop: Stop | None = None

    @property
    def line(self) -> str:
        """It in words."""
        return f"{self.how.what}: {self.detail}" if self.detail else self.how.what

    @property
    def guest_status(self) -> int:
        """The value that the guest wrote to isa-debug-exit; 0 where it ended otherwise."""
        return self.status >> 1 if self.how == How.EXIT else 0

    def check(self) -> None:
        """Raise FwbuildError unless the guest or the user wanted this end."""
        if self.how.code != ExitCode.OK:
            hint = self.stop.hint if self.stop else HINTS.get(self.how, "")
            raise FwbuildError(self.how.code, self.line, hint=hint)


def ending(
    status: int, events: Sequence[Event], console: str, seconds: float | None = None
) -> Ending:
    """The end of a QEMU.

    status:  as subprocess has it, below 0 for a signal.
    events:  what its monitor told.
    console: all that the debug console printed.
    seconds: after which QEMU was ended from here, None if it was not.
    """
    how, detail = _of_qemu(status, events, seconds)
    stop, _ = stop_codes.told(console)
    # a guest may print such a line too, but then QEMU does not end with that code
    if how == How.EXIT and stop and status == ports.debug_exit_status(stop.code):
        return Ending(How.STOP, status, stop.what, stop)
    if how in FIRMWARE_TOO and console.strip():
        stop, _ = stop_codes.told(console.strip().splitlines()[-1])
        if stop:
            return Ending(How.STOP, status, stop.what, stop)
    return Ending(how, status, detail)


def _of_qemu(status: int, events: Sequence[Event], seconds: float | None) -> tuple[How, str]:
    """How a guest ended as QEMU tells it, and more of it."""
    names = {event["event"] for event in events}
    if "GUEST_PANICKED" in names:  # QEMU may have gone on, or waited: `-action panic=...`
        return How.PANIC, ""
    if seconds is not None:
        return How.TIMEOUT, f"QEMU was ended after {seconds:g} s"
    if status < 0:
        return How.SIGNAL, signal.Signals(-status).name
    if status and "RESUME" in names and status % 2:  # the guest ran
        return How.EXIT, f"{status >> 1}, so QEMU ended with status {status}"
    if status:
        return How.FAILURE, f"it ended with status {status}"
    reasons = [e["data"].get("reason", "") for e in events if e["event"] == "SHUTDOWN"]
    how = REASONS.get(reasons[-1], How.CLOSED) if reasons else How.CLOSED
    return how, reasons[-1] if reasons and how not in GUESTS_OWN else ""
