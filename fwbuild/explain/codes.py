"""The meanings of a code: a stop of the firmware, an exit status of QEMU or of fwbuild."""

import re
from collections.abc import Iterator
from contextlib import suppress

from fwbuild.abi import ports
from fwbuild.errors import ExitCode
from fwbuild.explain.meaning import Meaning
from fwbuild.firmware import stop_codes, test_kernel
from fwbuild.firmware.stop_codes import Stop

STOP_CODE = re.compile(r"(?:0x)?([0-9a-f]{2})", re.IGNORECASE)
DECIMAL = re.compile(r"\d{1,3}")


def console_line(text: str) -> Iterator[Meaning]:
    """The meaning of a line in which the firmware tells its stop."""
    stop, detail = stop_codes.told(text)
    if stop and detail:
        meaning = of_stop(stop)
        said = meaning.facts | {"detail": f"0x{detail}: {stop.detail}"}
        yield Meaning(kind=meaning.kind, what=meaning.what, facts=said)


def numbers(text: str) -> Iterator[Meaning]:
    """The meanings of a code of two hexadecimal digits, or of an exit status."""
    if (found := STOP_CODE.fullmatch(text)) and (stop := stop_codes.BY_CODE.get(int(found[1], 16))):
        yield of_stop(stop)
    if DECIMAL.fullmatch(text):
        yield from _qemu_status(int(text))
        with suppress(ValueError):
            code = ExitCode(int(text))
            yield Meaning(kind="exit code of fwbuild", what=code.meaning, facts={"name": code.name})


def _qemu_status(status: int) -> Iterator[Meaning]:
    kind = "exit status of QEMU"
    for stop in stop_codes.STOPS:
        if ports.debug_exit_status(stop.code) == status:
            yield Meaning(
                kind=kind, what=f"the firmware stopped: {stop.what}", facts=of_stop(stop).facts
            )
    if ports.debug_exit_status(test_kernel.EXIT_OK) == status:
        yield Meaning(kind=kind, what="the test kernel found all that it looks for")


def of_stop(stop: Stop) -> Meaning:
    """The meaning of a stop's code."""
    return Meaning(
        kind="stop code of the firmware",
        what=stop.what,
        facts={
            "code": f"{stop.code:02x}",
            "name": stop.name,
            "detail": stop.detail,
            "hint": stop.hint,
            "QEMU's status": f"{ports.debug_exit_status(stop.code)} with isa-debug-exit",
        },
    )
