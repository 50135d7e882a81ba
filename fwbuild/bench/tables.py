"""The results as tables of text: events down, images across, as in the table of 2018."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.table import Table

from fwbuild.bench.devices import BY_NAME
from fwbuild.bench.events import Event
from fwbuild.bench.result import Result, Row, Values, span
from fwbuild.bench.stats import Summary, summarize, within_noise
from fwbuild.qemu.count import Count

IN_KERNEL = "under KVM the host's kernel serves it"
COUNTS: dict[str, Callable[[Count], int]] = {
    "device accesses": lambda count: count.accesses,
    "instructions": lambda count: count.instructions,
}


@dataclass(frozen=True)
class Cell:
    """A value in words, and how it compares with the baseline's."""

    value: str
    ratio: Summary | None = None


@dataclass(frozen=True)
class Line:
    """A line of a table, a cell for each image. `section`: it belongs to the lower half."""

    name: str
    cells: list[Cell]
    section: bool = False


def spread(summary: Summary | None, unit: str = "") -> str:
    """A median and its extremes."""
    if not summary:
        return "-"
    return f"{summary.median:.2f}{unit} ({summary.low:.2f}-{summary.high:.2f})"


def ratio(summary: Summary | None) -> str:
    """A ratio to the baseline, and whether it means anything."""
    if not summary:
        return ""
    text = f"x {summary.median:.2f} ({summary.low:.2f}-{summary.high:.2f})"
    return f"{text}, noise" if within_noise(summary) else text


def event_text(row: Row, event: Event) -> str:
    """When an event was, and how long after the one before, in milliseconds."""
    at = summarize(row.at(event))
    if not at:
        return "-"
    earlier = [e for e in event.earlier() if summarize(row.at(e))]
    step = summarize(row.span(earlier[-1], event)) if earlier else None
    return f"{at.median:.2f} (+{step.median:.2f})" if step else f"{at.median:.2f}"


def spans(row: Row) -> list[tuple[str, Values]]:
    """A measure that is compared: its name, and how it is read from a row."""
    found: list[tuple[str, Values]] = [("firmware", Row.handoff)]
    found.append(("from QEMU's start to the kernel", Row.to_kernel))
    if summarize(row.cpu()):
        found.append(("CPU time of that", Row.cpu))
    first_line, last = Event.START_KERNEL, row.last_event()
    if summarize(row.at(first_line)):
        found.append(("to the first line", span(Event.FW_START, first_line)))
    if last and last not in (Event.FW_DO_BOOT, first_line):
        found.append(("guest", span(Event.FW_START, last)))
    if row.whole:
        found.append(("total", Row.totals))
        found.append(("total without instruments", Row.plain_totals))
    return found


def title(rows: Sequence[Row], rounds: int) -> str:
    """The subject of a group's table."""
    row = rows[0]
    runs = "1 run" if rounds == 1 else f"{rounds} runs"
    return f"{row.kernel} ({row.kind}) on {row.machine}, {row.accel.upper()}, {runs}"


def lines(result: Result, rows: Sequence[Row]) -> list[Line]:
    """A group's table: the events, what is compared, and what is exact."""
    found = [
        Line(str(event), [Cell(event_text(row, event)) for row in rows])
        for event in Event
        if any(summarize(row.at(event)) for row in rows)
    ]
    raced = next((row for row in rows if row.runs), None)
    for name, values in spans(raced) if raced else ():
        cells = [Cell(spread(summarize(values(row))), result.ratio(row, values)) for row in rows]
        found.append(Line(f"{name}, ms", cells, section=True))
    if raced and raced.whole:
        cost = [Cell(spread(row.instruments())) for row in rows]
        found.append(Line("total with / without instruments", cost, section=True))
    for name, exact in COUNTS.items() if any(row.count for row in rows) else ():
        cells = [Cell(str(exact(row.count)) if row.count else "-") for row in rows]
        found.append(Line(f"{name} to the kernel", cells, section=True))
    return found


def accesses(row: Row) -> Table:
    """The table of a whole boot's device accesses."""
    table = Table(title=accesses_title(row), title_justify="left")
    table.add_column("device")
    table.add_column("accesses", justify="right")
    table.add_column("")
    for line in accesses_lines(row):
        table.add_row(*line)
    return table


def accesses_title(row: Row) -> str:
    """The subject of that table."""
    return f"Device accesses of a whole boot, {row.accel.upper()}"


def accesses_lines(row: Row) -> list[tuple[str, str, str]]:
    """(device, accesses, remark) of each line of it."""
    served = {name for name, device in BY_NAME.items() if device.in_kernel}
    return [
        (name, f"{number:,}", IN_KERNEL if name in served else "")
        for name, number in row.accesses.items()
    ]


def group(result: Result, rows: Sequence[Row]) -> Table:
    """The table of one group. Times are medians in milliseconds."""
    table = Table(title=title(rows, result.rounds), title_justify="left")
    table.add_column("ms since QEMU's start")
    for row in rows:
        entry = f"\n{row.entry} entry" if row.entry else ""
        table.add_column(f"{row.image}{entry}", justify="right")
    section = False
    for line in lines(result, rows):
        if line.section and not section:
            table.add_section()
            section = True
        table.add_row(
            line.name,
            *("\n".join(filter(None, (cell.value, ratio(cell.ratio)))) for cell in line.cells),
        )
    problems = (
        f"{row.image}: {problem}."
        for row in rows
        if (problem := row.failure or "; ".join(sorted(set(row.failures()))))
    )
    table.caption = " ".join(problems) or None
    return table
