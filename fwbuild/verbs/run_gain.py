"""`run --measure-pvh`: what it saves to boot a bzImage as the vmlinux inside it."""

import argparse
from pathlib import Path

from fwbuild.bench.events import Event
from fwbuild.bench.gain import AS_BZIMAGE, AS_VMLINUX, SECONDS, Gain, measure
from fwbuild.bench.stats import Summary
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import Guest
from fwbuild.kernel import vmlinux_cache
from fwbuild.qemu.program import program
from fwbuild.verbs.printing import Working, printable
from fwbuild.verbs.run_kernel import chosen_guest

MS_PER_S = 1000
WHERE = {
    Event.STARTUP_64: "the kernel's 64-bit entry",
    Event.START_KERNEL: "Linux's first line of C (start_kernel)",
}


def measure_pvh(args: argparse.Namespace, guest: Guest, bios: Path, scratch: Path) -> None:
    """Print what the guest's kernel, which came out of a bzImage, saves. Each later run of it
    prints that again. Raises FwbuildError for another kernel."""
    packed = chosen_guest(args, scratch, pvh=False)[0].kernel
    if guest.kernel is None or packed is None or packed == guest.kernel:
        raise FwbuildError(
            ExitCode.USAGE,
            "this kernel is not booted as a vmlinux inside it",
            where="--measure-pvh",
            hint="name a bzImage with a PVH entry; `fwbuild inspect` says what a kernel is",
        )
    with Working("reading the kernel") as shown:
        found = measure(guest, packed, bios, args.timeout or SECONDS, shown.say)
    where = f"{guest.machine} under {guest.accel.upper()}"
    print(f"From QEMU's start to {WHERE[found.to]}, {found.saved.count} boots of each in turn,")
    print(printable(f"{where}, QEMU {program().version}:"))
    print(f"  as {AS_VMLINUX}: {_seconds(found.vmlinux)}")
    print(f"  as {AS_BZIMAGE}: {_seconds(found.bzimage)}")
    print(f"  {saving(found)}")
    vmlinux_cache.remember(guest.kernel, guest.machine, f"{saving(found)} on {where}")


def saving(found: Gain) -> str:
    """What it saves, in words; the noise is no gain."""
    if found.saved.low <= 0 <= found.saved.high:
        return f"no difference beyond the noise: {_seconds(found.saved)}"
    if found.saved.high < 0:
        return f"it costs {_seconds(_negative(found.saved))}"
    return f"it saves {_seconds(found.saved)}"


def _negative(found: Summary) -> Summary:
    return Summary(-found.median, -found.high, -found.low, found.count)


def _seconds(found: Summary) -> str:
    low, high = (f"{value / MS_PER_S:.2f}" for value in (found.low, found.high))
    return f"{found.median / MS_PER_S:.2f} s ({low} to {high})"
