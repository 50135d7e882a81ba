"""Tell what a kernel or firmware image is, how QEMU and the firmware take it, and what keeps it
from booting, if anything does. Exit code 7 says that it boots by no way."""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fwbuild.api import inspect
from fwbuild.errors import ExitCode
from fwbuild.firmware import file_names
from fwbuild.inspection import Report
from fwbuild.protocols.report import ByFile, Way
from fwbuild.verbs.paths import file_name
from fwbuild.verbs.printing import Working, output, printable

HELP = "tell what a kernel or image is, and whether it boots"
RUNS = {
    Way.KERNEL: "gives it to QEMU's -kernel",
    Way.VMLINUX: "boots the vmlinux inside it by PVH, as -kernel",
    Way.FILE: f"has the firmware load it, as {file_names.KERNEL}",
    Way.PARTS: "boots its parts",
}
LARGE = 10  # numbers from here on are shown in both bases
NAMES = 20  # characters of a name, where none is longer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=file_name, metavar="FILE", help="a kernel or a firmware image")
    parser.add_argument("--json", action="store_true", help="print JSON (keys: docs/json.md)")


def run(args: argparse.Namespace) -> int:
    with Working(f"reading {args.file}"):
        report = inspect(args.file)
    if args.json:
        print(json.dumps({"file": str(args.file), "size": report.size} | report.plain(), indent=1))
    else:
        _show(args.file, report)
    return int(ExitCode.KERNEL if report.way is None else ExitCode.OK)


def _show(path: Path, report: Report) -> None:
    console = output()
    lines: list[tuple[str, str]] = []

    def line(name: str, text: str) -> None:
        lines.append((name, text))

    console.print(printable(f"{path}: {report.what}, {report.size} bytes"))

    def facts(prefix: str, found: dict[str, Any]) -> None:
        for name, value in found.items():
            if isinstance(value, dict):
                facts(f"{prefix}{name} ", value)
            elif name != "sections":
                line(f"{prefix}{name}", _text(value))

    facts("", report.facts)
    if report.qemu:
        line("QEMU", report.qemu)
    if report.protocol:
        templates = ", ".join(report.templates) or "none"
        line("firmware", f"enters it by {report.protocol}; templates: {templates}")
    for problem in report.problems:
        title = "not as -kernel" if report.way else "does not boot"
        line(title, f"{problem.what} (hint: {problem.hint})")
    if report.by_file:
        line(file_names.KERNEL, _by_file(report.by_file))
        if way := report.inner or report.way:
            line("fwbuild run", RUNS[way])
    for note in report.notes:
        line("note", note)
    width = max(NAMES, *(len(name) for name, _ in lines))
    for name, text in lines:
        console.print(printable(f"  {name:{width}} {text}"))
    if sections := report.facts.get("sections"):
        _sections(console, sections)


def _by_file(found: ByFile) -> str:
    """What the firmware does with the file as one of fw_cfg."""
    if found.refusal:
        return f"refused: {found.refusal.what} (hint: {found.refusal.hint})"
    templates = ", ".join(found.templates) or "none"
    return f"the firmware enters it by {found.protocol} at {found.entry:#x}; templates: {templates}"


def _sections(console: Console, sections: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("address", "size"):
        table.add_column(heading, justify="right")
    table.add_column("kind")
    table.add_column("name")
    for section in sections:
        table.add_row(
            f"{section['address']:08x}",
            str(section["size"]),
            printable(section["kind"]),
            printable(section["name"]),
        )
    console.print(table)


def _text(value: Any) -> str:
    """A fact in words: numbers in both bases, lists with commas."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value} ({value:#x})" if value >= LARGE else str(value)
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "none"
    return str(value)
