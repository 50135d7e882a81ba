"""Measure boots: the events from QEMU's start to the first user program or to a line on the
console, of our image, of others' and of Debian's qboot and SeaBIOS, with any kernels and machines.
It needs no root, no patched kernel and no patched firmware. QEMU gets everything after `--` as it
is."""

import argparse
import os
import platform
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from fwbuild.bench import contenders, report, tables
from fwbuild.bench.events import Event, Seen
from fwbuild.bench.kernel import read_kernel
from fwbuild.bench.race import WORDS, Plan, Race
from fwbuild.bench.result import Result, Row
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import write_all
from fwbuild.guest import Guest
from fwbuild.image.template import DEFAULT
from fwbuild.inputs import note_outputs
from fwbuild.machines import ACCEL, MACHINES
from fwbuild.payloads.init import build_initrd
from fwbuild.qemu.program import program
from fwbuild.verbs.guest_options import (
    add_qemu_argument,
    add_size_arguments,
    check_files,
    check_initrd,
    positive,
    regex,
    seconds,
)
from fwbuild.verbs.paths import file_name
from fwbuild.verbs.printing import Working, output

HELP = "measure boots, beside qboot and SeaBIOS"
RESULTS = "results.json"
CPUINFO = Path("/proc/cpuinfo")
# where a boot may end: what the guest does itself
ENDS = {str(event): event for event in Event if event.seen not in (Seen.OUTSIDE, Seen.CONSOLE)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    race = parser.add_argument_group("the contenders")
    race.add_argument(
        "--template",
        action="append",
        metavar="NAME",
        help="our images, repeatable; default: universal",
    )
    race.add_argument(
        "--bios",
        type=file_name,
        action="append",
        default=[],
        metavar="IMG",
        help="another image, repeatable; default: none",
    )
    race.add_argument(
        "--baked", action="store_true", help="a vmlinux in a RAM file as well, as by fwbuild bake"
    )
    race.add_argument(
        "--no-peers", action="store_true", help="leave Debian's qboot.rom and SeaBIOS out"
    )
    guest = parser.add_argument_group("the guests, in QEMU's words")
    guest.add_argument(
        "--kernel",
        type=file_name,
        action="append",
        required=True,
        metavar="FILE",
        help="a vmlinux or bzImage, repeatable; required",
    )
    guest.add_argument(
        "-M",
        "--machine",
        action="append",
        metavar="TYPE",
        help=f"QEMU's machine type, repeatable; default: {', '.join(MACHINES)}",
    )
    guest.add_argument(
        "--accel",
        choices=("auto", "kvm", "tcg"),
        default="auto",
        help="auto: KVM as far as it gets, and TCG for the rest; default: %(default)s",
    )
    guest.add_argument(
        "--initrd",
        type=file_name,
        metavar="FILE",
        help="an initial RAM disk, for a boot that ends by --until or --to; "
        "default: the bench's own, whose program ends QEMU",
    )
    guest.add_argument(
        "--append",
        default="",
        metavar="CMDLINE",
        help=f"after the bench's own '{WORDS}'; default: empty",
    )
    add_size_arguments(guest)
    parser.add_argument(
        "--runs",
        type=positive,
        default=5,
        metavar="N",
        help="boots of each kind; default: %(default)s",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=30,
        metavar="SECONDS",
        help="the most that one boot may take; default: %(default)s",
    )
    parser.add_argument(
        "--to",
        choices=ENDS,
        metavar="EVENT",
        help=f"end each boot there: %(choices)s; default: {Event.START_USER}",
    )
    parser.add_argument(
        "--until",
        type=regex,
        metavar="REGEX",
        help="end each boot as soon as a line of the serial port has it, with any --initrd; "
        "default: none",
    )
    parser.add_argument(
        "--no-counts", action="store_true", help="do not count accesses and instructions"
    )
    parser.add_argument(
        "--out",
        type=file_name,
        default=Path("out/bench"),
        metavar="DIR",
        help="for images, initrd and results.json; default: %(default)s",
    )
    parser.add_argument(
        "--report",
        type=file_name,
        metavar="HTML",
        help="write tables and pictures there; default: none",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    add_qemu_argument(parser)


def run(args: argparse.Namespace) -> int:
    check_files(*args.kernel, *args.bios)
    check_initrd(args.initrd)
    for machine in args.machine or ():
        if ACCEL in machine:
            raise FwbuildError(
                ExitCode.USAGE,
                "a bench has one accelerator for all machines",
                where=f"-M {machine}",
                hint="name it by --accel",
            )
    last = _last(args)
    images = [contenders.ours(name, args.out) for name in args.template or [DEFAULT]]
    images += [contenders.theirs(path) for path in args.bios]
    images += [contenders.baked(args.out)] if args.baked else []
    images += [] if args.no_peers else contenders.peers()
    contenders.check_names(images)
    kernels = [read_kernel(path, to_user=args.until is None) for path in args.kernel]
    initrd = args.out / "init.cpio"
    guest = Guest(
        memory=args.memory,
        smp=args.smp,
        initrd=args.initrd or initrd,
        append=args.append,
        extra=tuple(args.after),
    )
    plan = Plan(
        contenders=images,
        kernels=kernels,
        machines=args.machine or MACHINES,
        guest=guest,
        accel=args.accel,
        rounds=args.runs,
        seconds=args.timeout,
        counts=not args.no_counts,
        last=last,
        until=args.until,
    )
    result = Result(
        qemu=program().version,
        host=host(),
        date=datetime.now(UTC).date().isoformat(),
        rounds=args.runs,
        memory=args.memory,
        append=f"{WORDS} {args.append}".strip(),
        baseline=images[0].name,
    )
    made = {path: data for image in images for path, data in image.contents.items()}
    files: dict[Path, Callable[[Result], str]] = {args.out / RESULTS: Result.to_json}
    if args.report:
        _check_report(args.report, [initrd, *made, *files])
        files |= {args.report: report.html}
    note_outputs(files)
    write_all({initrd: build_initrd(), **made})
    console = output()
    _race(plan, result, files, console if not args.json else None)
    if args.json:
        print(result.to_json(), end="")
    else:
        for note in result.notes:
            console.print(f"Note: {note}")
        console.print(f"Raw results: {args.out / RESULTS}")
    _check_measured(result, args.until)
    return int(ExitCode.OK)


def _check_report(path: Path, others: Sequence[Path]) -> None:
    """Raise the error of a report that would go over another file of this bench."""
    if path.resolve() in [other.resolve() for other in others]:
        what, hint = "a file of --out has this name", "name another one by --report"
        raise FwbuildError(ExitCode.USAGE, what, where=str(path), hint=hint)


def _check_measured(result: Result, until: str | None) -> None:
    """Raise the error of a bench in which no image booted, or none to the line."""
    if any(row.runs and (row.whole or until is None) for row in result.rows):
        return
    why = next((row.failure for row in result.rows if row.failure), "; ".join(result.notes))
    hint = "`fwbuild run` with the same guest shows its console; --timeout gives it more time"
    raise FwbuildError(ExitCode.UNEXPECTED, f"no boot got to its end: {why}", hint=hint)


def _last(args: argparse.Namespace) -> Event:
    """The event at which a boot is over. Raises the error of an end that never comes."""
    if args.until is not None and args.to:
        raise FwbuildError(
            ExitCode.USAGE, "two ends of a boot", where="--until", hint="leave out --to"
        )
    if args.until is not None:
        return Event.CONSOLE_LINE
    last = ENDS[args.to] if args.to else Event.START_USER
    if args.initrd and last == Event.START_USER:
        raise FwbuildError(
            ExitCode.USAGE,
            "the user program of another initrd does not tell when it runs",
            where="--initrd",
            hint="end the boot at a line of its console by --until, or earlier by --to",
        )
    return last


def _race(
    plan: Plan, result: Result, files: dict[Path, Callable[[Result], str]], console: Console | None
) -> None:
    """Fill the result, and show each group as it comes; progress goes to stderr. The files are
    written after each group: who ends a long bench early keeps what is measured."""
    with Working("starting") as shown:
        race = Race(plan, shown.say)
        result.notes = race.notes
        for rows in race.rows():
            result.rows += rows
            write_all({path: text(result).encode() for path, text in files.items()})
            if console:
                with shown.paused():
                    _show(console, result, rows)


def _show(console: Console, result: Result, rows: list[Row]) -> None:
    """The tables of one group."""
    console.print(tables.group(result, rows), "")
    for row in rows:
        if row.accesses:
            console.print(tables.accesses(row))
        for text in row.advice:
            console.print(f"Advice: {text}")


def host() -> dict[str, str]:
    """The conditions that the numbers depend on."""
    text = CPUINFO.read_text() if CPUINFO.exists() else ""
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return {
        "CPU": f"{os.cpu_count()} x {model[1] if model else platform.machine()}",
        "kernel": f"{platform.system()} {platform.release()}",
    }
