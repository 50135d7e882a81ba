"""The results of a bench, as they are kept: raw runs. Every table and picture is made from them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from fwbuild.bench.events import Event, Run
from fwbuild.bench.stats import Summary, pair_ratios, summarize
from fwbuild.qemu.count import Count

FORMAT = 1


@dataclass(kw_only=True)
class Row:
    """One image with one kernel on one machine. `runs` and `plain` have an element a round, in
    the same order for every row of a group; `plain` are milliseconds from QEMU's start to its end
    without instruments. `traced` are runs of the same image with its trace points on. `failure`
    says why there are no runs. `accesses` are those of one whole boot by device, most first, and
    `advice` what may be done about them; only the first image of a group has them."""

    machine: str
    kernel: str
    kind: str
    image: str
    accel: str
    whole: bool  # to where the guest tells that it is over; else as far as breakpoints show
    command: list[str]
    runs: list[Run] = field(default_factory=list)
    plain: list[float | None] = field(default_factory=list)
    traced: list[Run] = field(default_factory=list)
    entry: str = ""
    failure: str = ""
    count: Count | None = None
    stage_counts: list[dict[str, Any]] = field(default_factory=list)
    accesses: dict[str, int] = field(default_factory=dict)
    advice: list[str] = field(default_factory=list)

    @property
    def group(self) -> tuple[str, str, str]:
        """The group that it is compared within."""
        return self.kernel, self.machine, self.accel

    def at(self, event: Event) -> list[float | None]:
        """When an event was, round by round, in milliseconds since QEMU's start."""
        return [run.events.get(event) for run in self.runs]

    def span(self, begin: Event, end: Event) -> list[float | None]:
        """How long it took from one event to another, round by round."""
        pairs = zip(self.at(begin), self.at(end), strict=True)
        return [None if a is None or b is None else round(b - a, 3) for a, b in pairs]

    def handoff(self) -> list[float | None]:
        """From the CPU's release to the kernel: the firmware's own time."""
        return self.span(Event.FW_START, Event.FW_DO_BOOT)

    def to_kernel(self) -> list[float | None]:
        """From QEMU's start to the kernel."""
        return self.at(Event.FW_DO_BOOT)

    def cpu(self) -> list[float | None]:
        """How long all of QEMU's threads ran for to get there."""
        return [run.cpu for run in self.runs]

    def totals(self) -> list[float | None]:
        """From QEMU's start to its end, with instruments."""
        return [run.total if not run.failure else None for run in self.runs]

    def plain_totals(self) -> list[float | None]:
        """The same without."""
        return self.plain

    def instruments(self) -> Summary | None:
        """Total with instruments / total without, in pairs: what measuring costs."""
        return pair_ratios(self.totals(), self.plain) if self.whole else None

    def last_event(self) -> Event | None:
        """The end of what is measured: the last event that its runs have."""
        seen = [event for event in Event if any(at is not None for at in self.at(event))]
        return seen[-1] if seen else None

    def failures(self) -> list[str]:
        """Why single rounds failed."""
        return [run.failure for run in self.runs if run.failure]

    def stages(self) -> list[tuple[str, Summary]]:
        """(stage, milliseconds) from the CPU's release on, by the trace points."""
        found: dict[str, list[float | None]] = {}
        for run in self.traced:
            start = run.events.get(Event.FW_START)
            if start is None or not run.stages:
                continue
            marks = [("reset", start), *run.stages]
            for (name, began), (_, ended) in pairwise(marks):
                found.setdefault(name, []).append(ended - began)
        summaries = ((name, summarize(values)) for name, values in found.items())
        return [(name, summary) for name, summary in summaries if summary]


# What is read from a row: milliseconds, round by round; None where a round failed.
Values = Callable[[Row], list[float | None]]


def span(begin: Event, end: Event) -> Values:
    """How long it took from one event to another."""
    return lambda row: row.span(begin, end)


@dataclass(kw_only=True)
class Result:
    """A whole bench: the host, what was asked, and the rows, group by group."""

    qemu: str
    host: dict[str, str]
    date: str
    rounds: int
    memory: int
    append: str
    baseline: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def groups(self) -> dict[tuple[str, str, str], list[Row]]:
        """The rows by kernel, machine and accelerator."""
        found: dict[tuple[str, str, str], list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.group, []).append(row)
        return found

    def ratio(self, row: Row, values: Values) -> Summary | None:
        """How a row's values compare with the baseline's of the same group."""
        base = next((r for r in self.groups()[row.group] if r.image == self.baseline), None)
        if base is None or base is row or not (row.runs and base.runs):
            return None
        return pair_ratios(values(row), values(base))

    def to_json(self) -> str:
        """Everything, as text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Result":
        """The result that to_json() wrote. Raises ValueError, KeyError or TypeError for anything
        else."""
        plain = json.loads(text)
        if plain.pop("format") != FORMAT:
            raise ValueError("another format")
        rows = [_row(row) for row in plain.pop("rows")]
        return cls(**plain, rows=rows)


def _row(plain: dict[str, Any]) -> Row:
    runs, traced = (_runs(plain.pop(name)) for name in ("runs", "traced"))
    count = plain.pop("count")
    return Row(**plain, runs=runs, traced=traced, count=Count(**count) if count else None)


def _runs(plain: Sequence[dict[str, Any]]) -> list[Run]:
    return [Run(**{**run, "stages": [(n, at) for n, at in run["stages"]]}) for run in plain]
