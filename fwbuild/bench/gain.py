"""What a bzImage's own unpacking costs: its boot beside that of the vmlinux inside it.

Both boot in turn, by the same image and on the same guest, to the last event that the kernel's
addresses show: Linux's first line of C, or its 64-bit entry where nothing says where that line is.
The times are from QEMU's start on, for QEMU takes longer to load the larger file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fwbuild.bench.events import Event, Step
from fwbuild.bench.kernel import NO_KASLR, read_kernel
from fwbuild.bench.runner import traced
from fwbuild.bench.stats import Summary, pair_differences, summarize
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import Guest

ROUNDS = 5
SECONDS = 30.0  # the most that one boot may take where the user does not say
NO_STEP = "measure with `fwbuild bench --until REGEX` and a line of its console"
AS_VMLINUX, AS_BZIMAGE = "the vmlinux inside it", "a bzImage"


@dataclass(frozen=True)
class Gain:
    """Milliseconds from QEMU's start to the event `to` in each way, and what the vmlinux saves in
    a pair of boots: less than nothing where the bzImage is the faster."""

    to: Event
    vmlinux: Summary
    bzimage: Summary
    saved: Summary


def measure(
    guest: Guest, packed: Path, bios: Path, seconds: float, say: Callable[[str], None]
) -> Gain:
    """Boot `guest`, whose kernel is the vmlinux inside the bzImage `packed`, in both ways: once
    for nothing, then ROUNDS times in pairs. Raises FwbuildError for a boot that does not get
    there, and for a kernel of 32 bits without symbols."""
    guest = replace(guest, append=f"{NO_KASLR} {guest.append}".strip())
    ways = {AS_VMLINUX: guest, AS_BZIMAGE: replace(guest, kernel=packed)}
    kernel = read_kernel(packed)
    # From its own entry on both are one kernel.
    steps = [step for step in kernel.steps if step.event is not Event.FW_DO_BOOT]
    if not steps:
        what = f"nothing shows where the kernel is unpacked: {kernel.note}"
        raise FwbuildError(ExitCode.KERNEL, what, where=str(packed), hint=NO_STEP)
    times: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(ROUNDS + 1):
        for way in (*ways,) if number % 2 else (*reversed(ways),):
            say(f"as {way}, {number} of {ROUNDS}" if number else f"as {way}, warm-up")
            taken = _boot(ways[way], steps, way, bios, seconds)
            if number:
                times[way].append(taken)
    summaries = [summarize(times[way]) for way in ways]
    saved = pair_differences(times[AS_BZIMAGE], times[AS_VMLINUX])
    assert summaries[0] and summaries[1] and saved  # each boot has a time
    return Gain(steps[-1].event, summaries[0], summaries[1], saved)


def _boot(guest: Guest, steps: Sequence[Step], way: str, bios: Path, seconds: float) -> float:
    """Milliseconds from QEMU's start to the last step."""
    last = steps[-1].event
    run = traced(guest, bios, steps, seconds, last)
    if last not in run.events:
        raise FwbuildError(
            ExitCode.UNEXPECTED,
            f"booted as {way}, the kernel did not get to {last}: {run.failure}",
            hint="`fwbuild run` shows its console; --accel tcg where KVM runs no kernel",
        )
    return run.events[last]
