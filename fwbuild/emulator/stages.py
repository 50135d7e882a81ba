"""Where the firmware's work goes: device accesses and instructions of each stage, exact.

The stages begin at the trace points of main, which have an address in every image, whether it
writes them or not.
"""

from dataclasses import dataclass
from typing import Any

from unicorn import UC_HOOK_CODE, Uc

from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.machine import Machine, Outcome
from fwbuild.emulator.recording import Recording
from fwbuild.image.build import Image

CHECKSUM = "checksum_set"  # the routine, asm/lib/sum.s
RESET = "reset"  # what comes before the first trace point


@dataclass(frozen=True)
class StageCount:
    """The cost of one stage. A `rep` counts as one instruction; `in_checksums` of the
    instructions add up bytes of tables."""

    stage: str
    accesses: int
    instructions: int
    in_checksums: int = 0


def count_stages(
    image: Image, recording: Recording, loaded: Loaded | None
) -> tuple[Outcome, list[StageCount]]:
    """Run an image to its end, and what each stage took on the way, in the order of their
    beginnings."""
    machine = Machine(image.image, recording, loaded)
    outcome = machine.outcome
    began = [(RESET, 0, 0, 0)]
    sums = [0]  # instructions in CHECKSUM so far

    def begin(_uc: Uc, address: int, _size: int, _data: Any) -> None:
        # the machine's own hook has counted this instruction already
        began.append((points[address], len(outcome.accesses), outcome.instructions - 1, sums[0]))

    def add_up(_uc: Uc, _address: int, _size: int, _data: Any) -> None:
        sums[0] += 1

    points = image.linked.trace_points()
    for address in points:
        machine.uc.hook_add(UC_HOOK_CODE, begin, None, address, address)
    if base := image.linked.addresses.get(CHECKSUM):
        end = base + image.linked.size(CHECKSUM) - 1
        machine.uc.hook_add(UC_HOOK_CODE, add_up, None, base, end)
    machine.run()
    ends = [*began[1:], ("", len(outcome.accesses), outcome.instructions, sums[0])]
    counts = [
        StageCount(start[0], *(b - a for a, b in zip(start[1:], ended[1:], strict=True)))
        for start, ended in zip(began, ends, strict=True)
    ]
    return outcome, counts
