"""What each piece of the bench's advice saves: `python -m tests.support.advice` prints it."""

import tempfile
from dataclasses import replace
from pathlib import Path

from fwbuild.bench.advice import ADVICE, Advice
from fwbuild.bench.devices import accesses
from fwbuild.guest import Guest
from fwbuild.image.build import build_image
from fwbuild.machines import MICROVM, MachineFamily
from fwbuild.payloads.init import build_initrd
from tests.support import debian

KHZ = "2500000"  # the frequency that a guest is told
SECONDS = 120


def saving(row: Advice, family: MachineFamily, folder: Path) -> tuple[int, int]:
    """The device's accesses without and with the option, up to the first user program of Debian's
    cloud kernel."""
    bios, initrd = folder / "bios.bin", folder / "init.cpio"
    bios.write_bytes(build_image("universal").image)
    initrd.write_bytes(build_initrd())
    append = "console=ttyS0 panic=-1"
    if family is MICROVM:  # where Linux has no other clock to measure the TSC by
        append += f" tsc_early_khz={KHZ}"
    kernel, serial = debian.cloud_vmlinux(), ("-serial", "null")
    guest = Guest(family.name, kernel=kernel, initrd=initrd, append=append, extra=serial)
    word = row.append.replace("=N", f"={KHZ}")
    better = replace(
        guest,
        append=f"{append} {word}".strip(),
        machine=",".join(filter(None, (family.name, row.machine))),
    )
    before, after = (
        accesses(asked, bios, SECONDS, None).get(row.device.name, 0) for asked in (guest, better)
    )
    return before, after


def main() -> None:
    print("| device | option | machine | accesses | with it |", "|---|---|---|---|---|", sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        for row in ADVICE:
            for family in row.families:
                before, after = saving(row, family, Path(folder))
                told = f"{family.name} | {before:,} | {after:,}"
                print(f"| {row.device.name} | `{row.append or row.machine}` | {told} |")


if __name__ == "__main__":
    main()
