"""Writes docs/boot-time-tables.md from two benches and `cost --grow`: `make boot-time`."""

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fwbuild.bench import tables
from fwbuild.bench.events import Event
from fwbuild.bench.report import ms
from fwbuild.bench.result import Result, Row, span
from fwbuild.bench.stats import Summary, summarize, within_noise
from fwbuild.docs import DOCS
from fwbuild.documents import render
from fwbuild.files import read_file, write_all


def document(result: Result, first_line: Result, growth: Sequence[dict[str, Any]]) -> str:
    """The text. `first_line` is a bench of many rounds that end at the kernel's first line; where
    it measured what `result` did too, it counts."""
    better = first_line.groups()
    short = [
        line
        for bench in (result, first_line)
        for group, rows in bench.groups().items()
        if bench is first_line or group not in better
        for line in _first_lines(bench, rows)
    ]
    return render(
        "boot-time-tables.md.j2",
        result=result,
        memory=result.memory >> 20,
        summary=[line for rows in result.groups().values() for line in _summary(result, rows)],
        first_lines=sorted(short, key=lambda line: line[:3]),
        groups=[
            {
                "title": tables.title(rows, result.rounds),
                "rows": rows,
                "lines": tables.lines(result, rows),
            }
            for rows in result.groups().values()
        ],
        stages=[_stages(row) for row in result.rows if row.stages()],
        growth=_growth(growth),
        commands=[
            shlex.join([Path(rows[0].command[0]).name, *rows[0].command[1:]])
            for rows in result.groups().values()
        ],
    )


def _summary(result: Result, rows: Sequence[Row]) -> list[list[str]]:
    """A line of the first table for each image but the baseline."""
    base = next((row for row in rows if row.image == result.baseline), None)
    if not base or not base.runs:
        return []
    found = []
    for row in rows:
        if row is base:
            continue
        whole = result.ratio(row, Row.plain_totals)
        firmware = [ms(s.median) if (s := summarize(r.handoff())) else "-" for r in (base, row)]
        found.append(
            [
                row.kind,
                row.machine,
                row.accel.upper(),
                row.image,
                *firmware,
                _times(result.ratio(row, Row.handoff)),
                _times(whole) if row.whole else "not measured",
            ]
        )
    return found


def _first_lines(result: Result, rows: Sequence[Row]) -> list[list[str]]:
    """The same for the way to the kernel's first line, where it was reached."""
    base = next((row for row in rows if row.image == result.baseline), None)
    found = []
    for row in rows:
        line = [row.kind, row.machine, row.accel.upper(), row.image, str(len(row.runs))]
        for last in (Event.FW_DO_BOOT, Event.START_KERNEL):
            values = span(Event.FW_START, last)
            ratio = result.ratio(row, values)
            if base and ratio:
                times = [ms(s.median) for r in (base, row) if (s := summarize(values(r)))]
                line += [*times, _times(ratio)]
        if base and ratio:
            found.append(line)
    return found


def _times(ratio: Summary | None) -> str:
    if not ratio:
        return "-"
    text = f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})"
    return f"{text}, noise" if within_noise(ratio) else text


def _stages(row: Row) -> dict[str, Any]:
    counts = {count["stage"]: count for count in row.stage_counts}
    lines = []
    for name, summary in row.stages():
        count = counts.get(name, {})
        exact = [str(count.get(key, "-")) for key in ("accesses", "instructions")]
        lines.append([name, f"{summary.median:.3f}", *exact])
    return {
        "title": f"{row.image}, {row.kind} on {row.machine}, {row.accel.upper()}",
        "lines": lines,
    }


def _growth(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """(images, lines) of the table of growth."""
    images = list(dict.fromkeys(Path(row["image"]).name for row in rows))
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        key = (row["machine"], row["what"], row["value"])
        found.setdefault(key, []).append(f"{row['accesses']} / {row['instructions']}")
    return images, [[*key, *counts] for key, counts in found.items()]


def main() -> None:
    """Read the files, write the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("results", "first_line", "growth"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    result, first_line = (
        Result.from_json(read_file(path).decode()) for path in (args.results, args.first_line)
    )
    text = document(result, first_line, json.loads(read_file(args.growth)))
    write_all({DOCS / "boot-time-tables.md": text.encode()})


if __name__ == "__main__":
    main()
