"""How a guest ended, from what QEMU leaves behind."""

import pytest

from fwbuild.abi import ports
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import stop_codes
from fwbuild.qemu.ending import How, ending
from fwbuild.qemu.watch import Event

STOP = stop_codes.BY_NAME["NO_KERNEL"]
LINE = f"fwbuild: {STOP.code:02x} {STOP.what} 00000000\n"
STOPPED = ports.debug_exit_status(STOP.code)
RESUME: Event = {"event": "RESUME"}
PANICKED: Event = {"event": "GUEST_PANICKED", "data": {"action": "poweroff"}}
PAUSED: Event = {"event": "GUEST_PANICKED", "data": {"action": "pause"}}


def shutdown(reason: str) -> Event:
    return {"event": "SHUTDOWN", "data": {"guest": reason.startswith("guest"), "reason": reason}}


# status, events, debug console, seconds: how it ended, and part of the line
TABLE: dict[str, tuple[int, list[Event], str, float | None, How, str]] = {
    "power-off": (0, [RESUME, shutdown("guest-shutdown")], "", None, How.POWER_OFF, "powered off"),
    "reset": (0, [RESUME, shutdown("guest-reset")], "", None, How.RESET, "reset"),
    "panic": (0, [RESUME, PANICKED, shutdown("guest-panic")], "", None, How.PANIC, "panicked"),
    "panic, and a status of its own": (1, [RESUME, PANICKED], "", None, How.PANIC, "panicked"),
    "panic and pause": (-9, [RESUME, PAUSED], "", 5, How.PANIC, "panicked"),
    "stop": (STOPPED, [RESUME], LINE, None, How.STOP, STOP.what),
    "stop as a panic": (0, [RESUME, PANICKED], LINE, None, How.STOP, STOP.what),
    "stop as a reset": (0, [RESUME, shutdown("guest-reset")], LINE, None, How.STOP, STOP.what),
    "stop as a halt": (-9, [RESUME], LINE, 5, How.STOP, STOP.what),
    "a guest's own line": (0, [RESUME, shutdown("guest-reset")], f"{LINE}more", None,
                           How.RESET, "reset"),
    "a guest's own line and status": (3, [RESUME], LINE, None, How.EXIT, "1, so QEMU"),
    "isa-debug-exit": (5, [RESUME], "", None, How.EXIT, "2, so QEMU ended with status 5"),
    "isa-debug-exit with 0": (1, [RESUME], "", None, How.EXIT, "0, so QEMU ended with status 1"),
    "a bad command line": (1, [], "", None, How.FAILURE, "status 1"),
    "a failure on the way": (2, [RESUME], "", None, How.FAILURE, "status 2"),
    "killed": (-9, [RESUME], "", None, How.SIGNAL, "SIGKILL"),
    "terminated": (0, [RESUME, shutdown("host-signal")], "", None, How.SIGNAL, "host-signal"),
    "quit": (0, [RESUME, shutdown("host-qmp-quit")], "", None, How.CLOSED, "host-qmp-quit"),
    "timeout": (-9, [RESUME], "", 0.5, How.TIMEOUT, "after 0.5 s"),
    "no word": (0, [], "", None, How.CLOSED, "told to end"),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_ending(name: str) -> None:
    status, events, console, seconds, how, said = TABLE[name]
    found = ending(status, events, console, seconds)
    assert found.how == how
    assert said in found.line
    assert found.status == status
    if how.code == ExitCode.OK:
        found.check()
    else:
        with pytest.raises(FwbuildError, match=said) as caught:
            found.check()
        assert caught.value.code == how.code


def test_all_ends_have_a_case() -> None:
    assert {how for *_, how, _ in TABLE.values()} == set(How) - {How.EXPECTED}
