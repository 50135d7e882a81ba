"""Boots of the test kernel in QEMU with a guest drawn at random: machine, version, memory, CPUs,
devices, template and form of the kernel.

`python -m tests.support.boots COUNT SEED` boots COUNT guests, of the seeds SEED, SEED + 1, ...; a
guest depends on its seed and on the machine types of the QEMU in use. It prints each that does not
hand over, with its seed and its command line, and last how many did.
"""

import random
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fwbuild.abi import ports
from fwbuild.firmware import stop_codes, test_kernel
from fwbuild.guest import Guest
from fwbuild.image.build import build_image
from fwbuild.image.template import Template
from fwbuild.payloads.test_kernel import (
    build_test_bzimage,
    build_test_bzimage16,
    build_test_kernel,
    build_test_multiboot,
)
from fwbuild.qemu.command import command
from fwbuild.qemu.program import program
from fwbuild.sizes import MIB
from tests.support.offered import machine_types
from tests.support.templates import for_kernels

SECONDS = 60  # a boot takes less than one on an idle machine
# The status that QEMU ends with when a form is content: the one of 16 bits asks the BIOS all that
# it wants to know, and gives up as a boot loader does.
PASSED = ports.debug_exit_status(test_kernel.EXIT_OK)
ENDS = {"linux16": ports.debug_exit_status(stop_codes.BY_NAME["GAVE_UP"].code)}
# by the protocol that a template needs for it
KERNELS: dict[str, Callable[[], bytes]] = {
    "pvh": build_test_kernel,
    "linux": build_test_bzimage,
    "linux16": build_test_bzimage16,
    "multiboot": build_test_multiboot,
}
PVH_SINCE = (4, 0)  # machine types before it do not load a kernel by its PVH note
# QEMU cuts off the ACPI tables of this machine type if it has bridges, and warns
# (hw/i386/acpi-build.c, legacy_acpi_table_size): the loader script then names what is not there.
CUTS_TABLES = "pc-i440fx-2.0"
NO_TIMER = ",pic=off,pit=off"
WAITS = ("linux16",)  # for ticks
VERSION = re.compile(r"pc-(?:i440fx|q35)-(\d+)\.(\d+)")
MACHINES = re.compile(r"microvm|pc|q35|pc-(?:i440fx|q35)-[\d.]+")
VIRTIO_MMIO = ("virtio-rng-device", "virtio-serial-device", "virtio-balloon-device")
PCI = (
    "virtio-rng-pci", "virtio-serial-pci", "virtio-balloon-pci", "virtio-keyboard-pci", "e1000",
    "rtl8139", "pci-testdev,membar=16M", "pci-testdev,membar=8G", "edu", "VGA", "qemu-xhci",
    "ich9-ahci", "piix3-usb-uhci", "megasas", "lsi53c895a", "pci-serial", "nec-usb-xhci",
    "sdhci-pci",
)  # fmt: skip
ONCE = ("VGA", "virtio-balloon-pci", "virtio-balloon-device")  # QEMU takes no second one
ACCELERATORS = ("tcg", "tcg", "tcg", "tcg,thread=single")  # a host thread for each CPU, or one
APPEND = ("", "quiet", "console=ttyS0 root=/dev/vda1 ro", "x" * 1000)


@dataclass(frozen=True)
class Boot:
    """A guest with its template and the form of its kernel; the kernel's path is still missing."""

    seed: int
    guest: Guest
    template: str
    form: str

    def __str__(self) -> str:
        words = [f"seed {self.seed}: {self.form} by {self.template}", self.guest.machine]
        words += [f"-accel {self.guest.accel} -m {self.guest.memory // MIB}M"]
        words += [f"-smp {self.guest.smp}"]
        return " ".join([*words, shlex.join(self.guest.extra)])


def draw(seed: int) -> Boot:
    """The boot of a seed."""
    dice = random.Random(seed)
    family = dice.choice(("microvm", "pc", "q35"))
    prefixes = {"microvm": "microvm", "pc": "pc-i440fx", "q35": "pc-q35"}
    machine = dice.choice(_types(prefixes[family]))
    template = dice.choice(for_kernels())
    forms = [name for name in KERNELS if name in Template.load(template).words("protocols")]
    version = VERSION.match(machine)
    if version and (int(version[1]), int(version[2])) < PVH_SINCE:
        forms.remove("pvh")
    memory = dice.choice((dice.randrange(64, 1024), dice.randrange(1024, 6144))) * MIB
    smp = dice.choice((1, 1, 2, 3, 4, 8))
    extra = list(_devices(dice, family, 0.0 if machine == CUTS_TABLES else 0.2))
    if family == "microvm":
        machine += dice.choice(("", ",acpi=off", ",pcie=on", NO_TIMER, ",rtc=on"))
    if machine.endswith(NO_TIMER):
        forms = [name for name in forms if name not in WAITS]
    append, form = dice.choice(APPEND), dice.choice(forms)
    accel = dice.choice(ACCELERATORS)
    guest = Guest(machine, memory, smp, append=append, extra=tuple(extra), accel=accel)
    return Boot(seed, guest, template, form)


def _types(prefix: str) -> list[str]:
    """The machine types of a family that the QEMU in use has, in a fixed order."""
    return sorted(
        m for m in machine_types(program()) if MACHINES.fullmatch(m) and m.startswith(prefix)
    )


def _devices(dice: random.Random, family: str, bridges: float) -> Iterator[str]:
    """The words for up to ten devices (microvm has fewer slots), on q35 and pc some of them behind
    bridges: `bridges` is the chance that a device is one."""
    models = list(VIRTIO_MMIO if family == "microvm" else PCI)
    if family == "microvm":
        for _ in range(dice.randrange(6)):
            yield from ("-device", _model(dice, models))
        return
    used = {"": 0}  # the slots of each bus that are used
    for number in range(dice.randrange(11)):
        bus = dice.choice(list(used))
        used[bus] += 1
        where = f",bus={bus},addr={used[bus]:#x}" if bus else ""
        if dice.random() < bridges:
            yield from ("-device", f"pci-bridge,id=b{number},chassis_nr={number + 1}{where}")
            used[f"b{number}"] = 0
        elif family == "q35" and not bus and dice.random() < 0.3:
            yield from ("-device", f"pcie-root-port,id=p{number},chassis={number + 1}")
            yield from ("-device", f"virtio-rng-pci,bus=p{number}")
        else:
            yield from ("-device", _model(dice, models) + where)


def _model(dice: random.Random, models: list[str]) -> str:
    """One of some models, which lose it if QEMU takes it only once."""
    model = dice.choice(models)
    if model in ONCE:
        models.remove(model)
    return model


def boot(drawn: Boot, folder: Path) -> str:
    """Boot it. Returns what went wrong, "" for a kernel that was entered and is content."""
    bios, kernel, console = folder / "bios.bin", folder / "kernel", folder / "console"
    bios.write_bytes(build_image(drawn.template).image)
    kernel.write_bytes(KERNELS[drawn.form]())
    console.write_bytes(b"")
    argv = command(replace(drawn.guest, kernel=kernel), bios=bios, console=console)
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"no end in {SECONDS} s; {console.read_text(errors='replace')[-200:]!r}"
    if done.returncode == ENDS.get(drawn.form, PASSED):
        return ""
    said = console.read_text(errors="replace")[-200:]
    return f"status {done.returncode}; {said!r} {done.stderr.strip()[-300:]}"


def main(count: int, seed: int) -> int:
    """Boot them all. Returns the exit code: 1 if one did not hand over."""
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for drawn in map(draw, range(seed, seed + count)):
            if wrong := boot(drawn, Path(folder)):
                failed += 1
                print(f"{drawn}\n    {wrong}", flush=True)
    print(f"{program()}: {count - failed} of {count} handed over")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
