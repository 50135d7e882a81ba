"""Count device accesses and instructions from reset to a kernel's entry, beside other images.

The counts are those of a real QEMU. The emulated machine counts our image too, and says how much
each of its stages takes. With --grow: how both grow with the guest.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from fwbuild import protocols
from fwbuild.api import build
from fwbuild.bench.contenders import QBOOT
from fwbuild.bench.grow import points
from fwbuild.emulator.recording import Recording
from fwbuild.emulator.stages import StageCount, count_stages
from fwbuild.errors import ExitCode
from fwbuild.files import read_file
from fwbuild.guest import Guest
from fwbuild.image.template import DEFAULT
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import write_test_kernel
from fwbuild.protocols import expect
from fwbuild.qemu.count import Count, count
from fwbuild.qemu.program import program
from fwbuild.qemu.record import record
from fwbuild.verbs.guest_options import (
    add_kernel_arguments,
    add_qemu_argument,
    check_files,
    check_initrd,
)
from fwbuild.verbs.paths import file_name
from fwbuild.verbs.printing import Working, output
from fwbuild.verbs.run_kernel import chosen, loads_files

HELP = "count exits and instructions to the kernel, beside qboot"

Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = add_kernel_arguments(parser)
    group.add_argument(
        "-M",
        "--machine",
        action="append",
        metavar="TYPE",
        help=f"QEMU's machine type, repeatable; default: {', '.join(MACHINES)}",
    )
    parser.add_argument(
        "--template",
        action="append",
        metavar="NAME",
        help="a template or a TOML file, repeatable; default: universal",
    )
    parser.add_argument(
        "--bios",
        type=file_name,
        action="append",
        metavar="IMG",
        help="another image to count; default: Debian's qboot.rom",
    )
    parser.add_argument(
        "--grow", action="store_true", help="vary CPUs, PCI functions, memory and initrd instead"
    )
    parser.add_argument("--json", action="store_true", help="print JSON (keys: docs/json.md)")
    add_qemu_argument(parser)


def run(args: argparse.Namespace) -> int:
    check_files(args.kernel, *(args.bios or ()))
    check_initrd(args.initrd)
    with tempfile.TemporaryDirectory(prefix="fwbuild-") as name, Working("assembling") as shown:
        counter = _Counter(args, Path(name), shown.say)
        rows = list(counter.growth() if args.grow else counter.rows())
    if args.json:
        print(json.dumps(rows, indent=1))
    elif args.grow:
        _show_growth(rows)
        print(program())
    else:
        _show(rows)
        _show_stages(rows)
        print(program())
    return int(ExitCode.OK)


class _Counter:
    """The guests and images that are counted; `folder` is a scratch folder, and `say` is told what
    is going on."""

    def __init__(self, args: argparse.Namespace, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self.say = folder, say
        kernel = args.kernel
        if kernel is None:
            kernel = write_test_kernel(folder)
        templates = args.template or [DEFAULT]
        base = Guest(
            memory=args.memory,
            smp=args.smp,
            kernel=kernel,
            initrd=args.initrd,
            append=args.append,
        )
        base, data = chosen(base, templates, folder, pvh=False)
        self.kernel = data
        self.guests = [replace(base, machine=machine) for machine in args.machine or MACHINES]
        self.ours = {f"fwbuild {n}": build(n) for n in templates}
        self.files = {}
        for number, (name, image) in enumerate(self.ours.items()):
            self.files[name] = folder / f"{number}.bin"
            self.files[name].write_bytes(image.image)
        others = args.bios or ([QBOOT] if QBOOT.exists() else [])
        self.files |= {str(path): path for path in others if _can(base, path)}

    def rows(self) -> Iterator[Row]:
        """Each image on each machine."""
        for guest in self.guests:
            recorded = record(guest)  # a packaged one has no kernel, so another directory
            loaded = protocols.load(guest, recorded)
            for name, path in self.files.items():
                self.say(f"counting {name} on {guest.machine}")
                emulated, stages = None, list[StageCount]()
                if name in self.ours:
                    outcome, stages = count_stages(self.ours[name], recorded, loaded)
                    emulated = asdict(Count(len(outcome.accesses), outcome.instructions))
                yield {
                    "qemu": program().version,
                    "machine": guest.machine,
                    "image": name,
                    "emulated": emulated,
                    "stages": [asdict(stage) for stage in stages],
                    **asdict(count(guest, path, *self._entries(guest, recorded))),
                }

    def growth(self) -> Iterator[Row]:
        """Each image at each point, on each machine."""
        for guest in self.guests:
            for point in points(guest, self.folder):
                entries = self._entries(point.guest, None)
                for name, path in self.files.items():
                    counted = asdict(count(point.guest, path, *entries))
                    yield {
                        "qemu": program().version,
                        "machine": point.guest.machine,
                        "what": point.what,
                        "value": point.value,
                        "image": name,
                        **counted,
                    }

    def _entries(self, guest: Guest, recorded: Recording | None) -> list[int]:
        """The linear address of each entry that a firmware may take. One that the firmware loads
        may lie at the end of the guest's RAM: the recording has that; it is made if it is None."""
        if not guest.firmware_loads:
            return list(expect(self.kernel).entries(self.kernel, str(guest.kernel)).values())
        loaded = protocols.load(guest, recorded or record(guest), self.kernel)
        assert loaded
        return [loaded.entry]


def _can(guest: Guest, bios: Path) -> bool:
    """Whether another image can boot the guest; one that is left out is named on stderr."""
    if not guest.firmware_loads or loads_files(read_file(bios)):
        return True
    print(f"fwbuild: {bios} is left out: it loads no kernel from fw_cfg's files", file=sys.stderr)
    return False


def _table(title: str, left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in left:
        table.add_column(heading)
    for heading in right:
        table.add_column(heading, justify="right")
    return table


def _show(rows: list[Row]) -> None:
    table = _table(
        "From reset to the kernel's entry",
        ("machine", "image"),
        ("accesses", "instructions", "emulator's", "ratio to last"),
    )
    for row in rows:
        last = [r for r in rows if r["machine"] == row["machine"]][-1]
        ratio = (
            f"{last['accesses'] / row['accesses']:.1f} / "
            f"{last['instructions'] / row['instructions']:.1f}"
        )
        emulated = row["emulated"]
        shown = f"{emulated['accesses']} / {emulated['instructions']}" if emulated else "-"
        table.add_row(
            row["machine"],
            row["image"],
            str(row["accesses"]),
            str(row["instructions"]),
            shown,
            ratio,
        )
    output().print(table)


def _show_stages(rows: list[Row]) -> None:
    """Where our images' work goes: accesses / instructions of each stage, on each machine."""
    ours = [row for row in rows if row["stages"]]
    names = list(dict.fromkeys(stage["stage"] for row in ours for stage in row["stages"]))
    headings = tuple(f"{row['machine']}\n{row['image']}" for row in ours)
    table = _table("Accesses / instructions of each stage", ("stage",), headings)
    for name in names:
        found = ([s for s in row["stages"] if s["stage"] == name] for row in ours)
        table.add_row(name, *(_stage(s[0]) if s else "-" for s in found))
    output().print(table)


def _stage(stage: dict[str, int]) -> str:
    inside = f" ({stage['in_checksums']} in checksums)" if stage["in_checksums"] else ""
    return f"{stage['accesses']} / {stage['instructions']}{inside}"


def _show_growth(rows: list[Row]) -> None:
    images = list(dict.fromkeys(row["image"] for row in rows))
    table = _table(
        "Accesses / instructions from reset to the kernel's entry, as the guest grows",
        ("machine", "guest"),
        tuple(images),
    )
    for at in range(0, len(rows), len(images)):
        row = rows[at]
        counts = (f"{r['accesses']} / {r['instructions']}" for r in rows[at : at + len(images)])
        table.add_row(row["machine"], f"{row['what']}: {row['value']}", *counts)
    output().print(table)
