"""The results as one page of HTML: tables, and pictures drawn to scale.

Everything that the page shows is computed here; the template places it. Bars are SVG whose lengths
are percentages, so that they fit a phone and a sheet of paper alike.
"""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, log10
from pathlib import Path

from fwbuild.bench import tables
from fwbuild.bench.events import Event
from fwbuild.bench.result import Result, Row
from fwbuild.bench.stats import Summary, summarize, within_noise
from fwbuild.documents import render

TICKS = 5  # a scale has about so many
# The colours of the firmware's stages, in turn: on a white page and on a black one.
STAGE_COLOURS = (
    ("#c9470a", "#ff8a4c"),
    ("#2f6fd0", "#7aaaf5"),
    ("#2c7a43", "#6fd08c"),
    ("#7a5ea8", "#b79be6"),
    ("#0b7a8c", "#45c0d2"),
    ("#8a6d1a", "#d9b64a"),
)


@dataclass(frozen=True)
class Segment:
    """A piece of a bar: where it begins and how long it is in percent of the scale, the class
    of its colour, and what it says."""

    x: float
    width: float
    colour: str
    label: str


@dataclass(frozen=True)
class Lane:
    """A bar with its name and its length in words."""

    name: str
    value: str
    segments: list[Segment]


@dataclass(frozen=True)
class Chart:
    """Bars on one scale; `ticks` are (percent, words)."""

    title: str
    lanes: list[Lane]
    ticks: list[tuple[float, str]]


def ms(value: float) -> str:
    """Milliseconds with about three digits."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f} ms"


def scale(longest: float) -> tuple[float, list[tuple[float, str]]]:
    """(end, ticks) of a scale that `longest` milliseconds fit."""
    step = 10 ** floor(log10(longest / TICKS)) if longest > 0 else 1.0
    step = next(step * factor for factor in (1, 2, 5, 10) if longest / (step * factor) <= TICKS)
    end = longest * 1.02
    count = int(longest / step)
    return end, [(round(100 * i * step / end, 3), f"{i * step:g}") for i in range(count + 1)]


def waterfall(rows: Sequence[Row], longest: float) -> Chart:
    """The whole boot of each image, phase by phase, at its medians."""
    end, ticks = scale(longest)
    lanes = []
    for row in rows:
        at, segments = 0.0, []
        for event in Event:
            if seen := summarize(row.at(event)):
                label = f"{event.phase}: {ms(seen.median - at)}"
                segments.append(_segment(at, seen.median, end, event, label))
                at = seen.median
        lanes.append(Lane(row.image, ms(at) if segments else row.failure, segments))
    return Chart("From QEMU's start, ms", lanes, ticks)


def firmware(rows: Sequence[Row]) -> Chart | None:
    """From the CPU's release to the kernel, enlarged."""
    known = [(row, summary) for row in rows if (summary := summarize(row.handoff()))]
    if not known:
        return None
    end, ticks = scale(max(summary.median for _, summary in known))
    event = Event.FW_DO_BOOT
    lanes = [
        Lane(
            row.image,
            tables.spread(summary, " ms"),
            [_segment(0, summary.median, end, event, f"{event.phase}: {ms(summary.median)}")],
        )
        for row, summary in known
    ]
    return Chart("The firmware alone, ms: median (lowest-highest)", lanes, ticks)


def stages(row: Row) -> Chart | None:
    """One image's firmware, stage by stage, enlarged again."""
    found = row.stages()
    if not found:
        return None
    end, ticks = scale(sum(summary.median for _, summary in found))
    at, segments = 0.0, []
    for number, (name, summary) in enumerate(found):
        until = at + summary.median
        label = f"{name}: {summary.median:.3f} ms"
        segments.append(_segment(at, until, end, _stage_colour(number), label))
        at = until
    return Chart(f"{row.image}: stages, ms", [Lane("stages", ms(at), segments)], ticks)


def stage_table(row: Row) -> list[dict[str, str]]:
    """Each stage's time, accesses and instructions, as words."""
    times = dict(row.stages())
    counts = {count["stage"]: count for count in row.stage_counts}
    return [
        {
            "stage": name,
            "colour": _stage_colour(list(times).index(name)) if name in times else "",
            "time": tables.spread(times[name]) if name in times else "-",
            "accesses": str(counts[name]["accesses"]) if name in counts else "-",
            "instructions": str(counts[name]["instructions"]) if name in counts else "-",
        }
        for name in dict.fromkeys([*times, *counts])
    ]


def _stage_colour(number: int) -> str:
    """The class of a stage's colour."""
    return f"stage{number % len(STAGE_COLOURS)}"


def html(result: Result) -> str:
    """The page."""
    groups = []
    for rows in result.groups().values():
        alike = [row for row in result.rows if row.accel == rows[0].accel]
        groups.append(
            {
                "title": tables.title(rows, result.rounds),
                "rows": rows,
                "lines": tables.lines(result, rows),
                "waterfall": waterfall(rows, _longest(alike)),
                "firmware": firmware(rows),
                "stages": [(stages(row), stage_table(row), row) for row in rows if row.stages()],
            }
        )
    return render(
        "boot.html.j2",
        result=result,
        groups=groups,
        events=[e for e in Event if any(summarize(row.at(e)) for row in result.rows)],
        colours=colours(),
        memory=result.memory >> 20,
        shown=_command,
        ratio=tables.ratio,
        verdict=_verdict,
        accesses_title=tables.accesses_title,
        accesses_lines=tables.accesses_lines,
    )


def colours() -> list[tuple[str, str, str]]:
    """(class, colour on white, colour on black) of everything that a bar may show."""
    events = [(str(event), event.light, event.dark) for event in Event]
    stages = [(_stage_colour(i), *pair) for i, pair in enumerate(STAGE_COLOURS)]
    return events + stages


def _verdict(ratio: Summary | None) -> str:
    if not ratio or within_noise(ratio):
        return ""
    return "slower" if ratio.median > 1 else "faster"


def _longest(rows: Iterable[Row]) -> float:
    """The last event of all, so that one scale serves every group under an accelerator."""
    ends = (summarize(row.at(last)) for row in rows if (last := row.last_event()))
    return max((end.median for end in ends if end), default=1.0)


def _segment(begin: float, until: float, end: float, colour: str, label: str) -> Segment:
    x, width = (round(100 * value / end, 3) for value in (begin, until - begin))
    return Segment(x, width, colour, label)


def _command(row: Row) -> str:
    return shlex.join([Path(row.command[0]).name, *row.command[1:]])
