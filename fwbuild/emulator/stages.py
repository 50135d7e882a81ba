"""Where the firmware's work goes: device accesses and instructions of each stage, exact.

The stages begin at the trace points of main, which have an address in every image, whether it
writes them or not.
"""

from dataclasses import dataclass
from typing import Any

from unicorn import UC_HOOK_CODE, Uc

from fwbuild.emulator.loader import Loaded
from fwbuild.emulator.machine import Machine, Outcome
from fwbuild.emulator.recording import Recording
from fwbuild.image.build import Image

RESET = "reset"  # what comes before the first trace point


@dataclass(frozen=True)
class StageCount:
    """What one stage takes. An iteration of a `rep` counts as an instruction."""

    stage: str
    accesses: int
    instructions: int


def count_stages(
    image: Image, recording: Recording, loaded: Loaded | None
) -> tuple[Outcome, list[StageCount]]:
    """Run an image to its end, and what each stage took on the way, in the order of their
    beginnings."""
    machine = Machine(image.image, recording, loaded)
    outcome = machine.outcome
    began = [(RESET, 0, 0)]

    def begin(_uc: Uc, address: int, _size: int, _data: Any) -> None:
        # the machine's own hook has counted this instruction already
        began.append((points[address], len(outcome.accesses), outcome.instructions - 1))

    points = image.linked.trace_points()
    for address in points:
        machine.uc.hook_add(UC_HOOK_CODE, begin, None, address, address)
    machine.run()
    ends = [*began[1:], ("", len(outcome.accesses), outcome.instructions)]
    counts = [
        StageCount(name, ended[1] - accesses, ended[2] - instructions)
        for (name, accesses, instructions), ended in zip(began, ends, strict=True)
    ]
    return outcome, counts
