"""Count device accesses and instructions from reset to a PVH kernel's entry, beside other images.

Counted on a real QEMU, and for our image in the emulated machine too.
"""

import argparse
import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fwbuild.emulator import loader
from fwbuild.emulator.machine import Machine
from fwbuild.errors import ExitCode
from fwbuild.guest import MACHINES, Guest
from fwbuild.image.build import build_image
from fwbuild.image.template import DEFAULT
from fwbuild.image.test_kernel import build_test_kernel
from fwbuild.kernel.vmlinux import parse_vmlinux, read_file
from fwbuild.qemu.count import Count, count
from fwbuild.qemu.record import record
from fwbuild.verbs.guest_options import add_kernel_arguments, check_files

HELP = "count exits and instructions to the kernel, beside qboot"
QBOOT = Path("/usr/share/qemu/qboot.rom")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = add_kernel_arguments(parser)
    group.add_argument("-M", "--machine", action="append", help="repeatable; default: all three")
    parser.add_argument("--template", action="append", help="repeatable; default: universal")
    parser.add_argument("--bios", type=Path, action="append", metavar="IMG",
                        help="another image to count; default: Debian's qboot.rom")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    check_files(args.kernel, args.initrd, *(args.bios or ()))
    with tempfile.TemporaryDirectory(prefix="fwbuild-") as folder:
        rows = _rows(args, Path(folder))
    if args.json:
        print(json.dumps(rows, indent=1))
        return int(ExitCode.OK)
    table = Table(title="From reset to the kernel's PVH entry", title_justify="left")
    for heading in ("machine", "image", "accesses", "instructions", "emulator's", "ratio to last"):
        table.add_column(heading, justify="left" if heading in ("machine", "image") else "right")
    for row in rows:
        last = [r for r in rows if r["machine"] == row["machine"]][-1]
        ratio = f"{last['accesses'] / row['accesses']:.1f} / " \
                f"{last['instructions'] / row['instructions']:.1f}"  # fmt: skip
        emulated = row["emulated"]
        shown = f"{emulated['accesses']} / {emulated['instructions']}" if emulated else "-"
        table.add_row(row["machine"], row["image"], str(row["accesses"]),
                      str(row["instructions"]), shown, ratio)  # fmt: skip
    Console(width=100).print(table)
    return int(ExitCode.OK)


def _rows(args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    kernel = args.kernel
    if kernel is None:
        kernel = folder / "test-kernel.elf"
        kernel.write_bytes(build_test_kernel())
    entry = parse_vmlinux(read_file(kernel), str(kernel)).entry
    others = args.bios or ([QBOOT] if QBOOT.exists() else [])
    base = Guest("", args.memory, args.smp, kernel, args.initrd, args.append)
    rows = []
    for machine in args.machine or MACHINES:
        guest = replace(base, machine=machine)
        recorded = record(guest)  # a packaged one has no kernel, so another directory
        loaded = loader.load(guest, recorded)
        for name in args.template or [DEFAULT]:
            image = build_image(name).image
            path = folder / f"{Path(name).stem}.bin"
            path.write_bytes(image)
            outcome = Machine(image, recorded, loaded).run()
            emulated = Count(len(outcome.accesses), outcome.instructions)
            rows.append(_row(guest, f"fwbuild {name}", path, entry, emulated))
        rows += [_row(guest, str(path), path, entry, None) for path in others]
    return rows


def _row(guest: Guest, name: str, path: Path, entry: int, emulated: Count | None,
         ) -> dict[str, Any]:  # fmt: skip
    return {
        "machine": guest.machine,
        "image": name,
        "emulated": asdict(emulated) if emulated else None,
        **asdict(count(guest, path, entry)),
    }
