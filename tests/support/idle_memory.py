"""The memory that three idle guests keep for themselves: by -kernel, and from one RAM file.

    python -m tests.support.idle_memory MIB [MACHINE ...] [options] [-- QEMU OPTIONS]

MIB is the memory of each. Kernel file, initrd, command line and QEMU's options are the same in both
ways.

Each runs Debian's cloud kernel to an init that sleeps. A guest's own memory is what /proc/PID/smaps
calls private. It has three parts: the guest's RAM; its code as TCG has translated it, which a guest
under KVM does not have; and what QEMU has for itself.
"""

import argparse
import os
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
SECONDS = 240  # to come so far
PARTS = ("RAM", "TCG's code", "QEMU")
KERNELS = {"vmlinux": debian.cloud_vmlinux, "vmlinuz": debian.cloud_vmlinuz}


def measured(argv: list[str], memory: int, folder: Path) -> dict[str, float]:
    """_own() of GUESTS guests that run side by side, the mean."""
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
        owned = [_own(process.pid, memory) for process in running]
        return {part: mean(own[part] for own in owned) for part in PARTS}
    finally:
        for process in running:
            process.kill()
            process.wait()


def _own(process: int, memory: int) -> dict[str, float]:
    """The private MiB of a process in PARTS; `memory` is the size of the guest's RAM, in bytes."""
    own = dict.fromkeys(PARTS, 0.0)
    part = "QEMU"
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) ", line):
            size = int(found[2], 16) - int(found[1], 16)
            # a neighbour may have grown together with RAM that has no file
            ram = memory <= size < memory + 4 * MIB
            part = "RAM" if ram else "TCG's code" if found[3] == "rwxp" else "QEMU"
        elif found := re.match(r"Private_(?:Clean|Dirty): +(\d+) kB", line):
            own[part] += int(found[1]) / 1024
    return own


def ways(machine: str, args: argparse.Namespace, folder: Path) -> dict[str, list[str]]:
    """QEMU's command line of the same guest in both ways."""
    (folder / "root").mkdir()
    if args.initrd:
        (folder / "root" / "ballast").write_bytes(os.urandom(args.initrd * MIB))
    initrd = debian.make_initrd(folder, INIT, debian.busybox_for("cloud"), ())
    append = debian.append(Guest(machine).family, args.append)
    kernel = KERNELS[args.kernel]()
    guest = Guest(machine, args.memory * MIB, kernel=kernel, initrd=initrd, append=append)
    bios = folder / "bios.bin"
    bios.write_bytes(build_image("linux").image)
    other = bake(guest, folder / "baked")
    return {
        "-kernel": [*command(guest, bios=bios), *args.qemu],
        "baked": [*command(other, bios=folder / "baked" / BIOS_FILE), *args.qemu],
    }


def main(args: argparse.Namespace) -> None:
    print(f"QEMU {program().version}, {GUESTS} guests of {args.memory} MiB; each one's own MiB")
    for machine in args.machine or MACHINES:
        with tempfile.TemporaryDirectory() as name:
            found = []
            for way, argv in ways(machine, args, Path(name)).items():
                own = measured(argv, args.memory * MIB, Path(name))
                found.append((sum(own.values()), sum(own.values()) - own["TCG's code"]))
                parts = ", ".join(f"{part} {own[part]:.1f}" for part in PARTS)
                print(f"{machine:8} {way:8} {found[-1][0]:6.1f}: {parts}")
            ratios = [b / a for a, b in zip(*found, strict=True)]
            print(f"{machine:8} ratio    {ratios[0]:6.2f}, without TCG's code {ratios[1]:.2f}")


def parsed(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.idle_memory")
    parser.add_argument("memory", type=int, metavar="MIB")
    parser.add_argument("machine", nargs="*", metavar="MACHINE", help="default: all")
    parser.add_argument("--kernel", choices=KERNELS, default="vmlinux")
    parser.add_argument(
        "--initrd", type=int, default=0, metavar="MIB", help="noise in the initrd; default: none"
    )
    parser.add_argument("--append", default="", metavar="WORDS", help="more of a command line")
    own, _, qemu = "\0".join(argv).partition("\0--\0")
    args = parser.parse_args(own.split("\0"))
    args.qemu = qemu.split("\0") if qemu else []
    return args


if __name__ == "__main__":
    main(parsed(sys.argv[1:]))
