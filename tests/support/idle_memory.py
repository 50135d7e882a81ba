"""The memory that three idle guests keep for themselves: by -kernel, and from one RAM file.

    python -m tests.support.idle_memory MIB [MACHINE ...]

MIB is the memory of each.

Each runs Debian's cloud kernel to an init that sleeps. A guest's own memory is what /proc/PID/smaps
calls private. Under TCG a part of it is the guest's code as TCG has translated it, which a guest
under KVM does not have.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

from fwbuild.bake.read import bake
from fwbuild.bake.write import BIOS_FILE
from fwbuild.guest import Guest
from fwbuild.image.build import build_image
from fwbuild.machines import MACHINES
from fwbuild.qemu.command import command
from fwbuild.qemu.program import program
from fwbuild.sizes import MIB
from tests.support import debian

GUESTS = 3
IDLE = "the guest is idle"
INIT = f"#!/bin/busybox sh\necho '{IDLE}'\nwhile :; do /bin/busybox sleep 1000; done\n"
SECONDS = 120  # to come so far


def measured(argv: list[str], folder: Path) -> list[tuple[float, float]]:
    """_own() of each of GUESTS guests that run side by side."""
    running = []
    try:
        for n in range(GUESTS):
            serial = folder / f"serial{n}"
            serial.write_text("")
            running.append(subprocess.Popen([*argv, "-serial", f"file:{serial}"]))
        end = time.monotonic() + SECONDS
        while any(IDLE not in (folder / f"serial{n}").read_text("latin-1") for n in range(GUESTS)):
            if time.monotonic() > end:
                raise TimeoutError(IDLE)
            time.sleep(0.2)
        return [_own(process.pid) for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()


def _own(process: int) -> tuple[float, float]:
    """The private MiB of a process: all of it, and that of code which TCG has translated."""
    whole = translated = 0
    counted = False
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        if found := re.match(r"[0-9a-f]+-[0-9a-f]+ (\S+) ", line):
            counted = found[1] == "rwxp"
        elif found := re.match(r"Private_(?:Clean|Dirty): +(\d+) kB", line):
            whole += int(found[1])
            translated += int(found[1]) * counted
    return whole / 1024, translated / 1024


def ways(machine: str, memory: int, folder: Path) -> dict[str, list[str]]:
    """QEMU's command line of the same guest in both ways."""
    initrd = debian.make_initrd(folder, INIT, debian.busybox_for("cloud"), ())
    append = debian.append(Guest(machine).family)
    guest = Guest(machine, memory, kernel=debian.cloud_vmlinux(), initrd=initrd, append=append)
    bios = folder / "bios.bin"
    bios.write_bytes(build_image("linux").image)
    other = bake(guest, folder / "baked")
    return {
        "-kernel": command(guest, bios=bios),
        "baked": command(other, bios=folder / "baked" / BIOS_FILE),
    }


def main(memory: int, machines: list[str]) -> None:
    print(f"QEMU {program().version}, {GUESTS} guests of {memory} MiB; each one's own MiB")
    for machine in machines:
        with tempfile.TemporaryDirectory() as name:
            means = {}
            for way, argv in ways(machine, memory * MIB, Path(name)).items():
                found = measured(argv, Path(name))
                whole, translated = (mean(values) for values in zip(*found, strict=True))
                means[way] = whole, whole - translated
                print(f"{machine:8} {way:8} {whole:6.1f}, of them {translated:.1f} code of TCG's")
            ratios = [b / a for a, b in zip(means["-kernel"], means["baked"], strict=True)]
            print(f"{machine:8} ratio    {ratios[0]:6.2f}, without TCG's code {ratios[1]:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:] or list(MACHINES))
