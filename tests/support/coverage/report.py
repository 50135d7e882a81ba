"""What the tests took of the assembly, put on the source, and the reasons for the rest.

`python -m tests.support.coverage.report FOLDER` reads what recorder.py has left there, writes each
source beside it with a mark at each line, and checks tests/coverage.toml: a line or direction that
no test takes needs a reason there, and one that a test takes may have none.
"""

import json
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fwbuild.files import data_dir
from fwbuild.image.build import build_image
from fwbuild.image.template import names
from tests.support.coverage.places import Direction, Line, Places

REASONS = Path(__file__).resolve().parents[2] / "coverage.toml"
WAYS = {"runs": None, "taken": True, "not taken": False}


@dataclass
class Record:
    """What the tests of a run took. `tests` has each test's statements, `seconds` its CPU time."""

    taken: set[Line | Direction] = field(default_factory=set)
    tests: dict[str, set[Line | Direction]] = field(default_factory=lambda: defaultdict(set))
    seconds: dict[str, float] = field(default_factory=dict)


def read(folder: Path) -> Record:
    """The files of all processes of a run."""
    found = Record()
    for path in sorted(folder.glob("*.json")):
        part = json.loads(path.read_text())
        rows = [_row(row) for row in part["names"]]
        for test, numbers in part["tests"].items():
            found.tests[test] |= {rows[number] for number in numbers}
        found.seconds |= part["seconds"]
        found.taken |= set(rows)
    return found


def _row(row: list[Any]) -> Line | Direction:
    line = Line(*row[:4])
    return Direction(line, row[4]) if len(row) > 4 else line


def everything() -> set[Line | Direction]:
    """The statements of all templates' images, and the directions of their branches."""
    found: set[Line | Direction] = set()
    for name in names():
        places = Places(build_image(name))
        found |= {line for _, line in places.at.values()}
        for address in places.targets:
            line = places.at[address][1]
            found |= {Direction(line, True), Direction(line, False)}
    return found


def key(what: Line | Direction) -> tuple[str, str, str, str]:
    """(file, routine, statement, way): the way in which a reason names it."""
    line = what.line if isinstance(what, Direction) else what
    way = "runs"
    if isinstance(what, Direction):
        way = "taken" if what.taken else "not taken"
    return line.file, line.routine, line.text, way


def reasons(table: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str, str, str], str]]:
    """The entries of tests/coverage.toml: each key, and its reason."""
    for entry in table["unreached"]:
        assert entry["why"].strip(), entry
        for row in entry["rows"]:
            yield (entry["file"], entry["routine"], *row), entry["why"]


def of_lines(found: Iterable[Line | Direction]) -> set[tuple[str, int]]:
    """The source lines among statements."""
    return {(what.file, what.line) for what in found if isinstance(what, Line)}


def of_directions(found: Iterable[Line | Direction]) -> set[Direction]:
    return {what for what in found if isinstance(what, Direction)}


def problems(
    all_of_it: set[Line | Direction], taken: set[Line | Direction], table: Mapping[str, Any]
) -> list[str]:
    """Each line and direction that is not taken without a reason, and each reason for nothing."""
    missing = all_of_it - taken
    # what never runs has no directions
    dead = {what for what in missing if isinstance(what, Line)}
    open_ = {
        key(what): what
        for what in missing
        if not (isinstance(what, Direction) and what.line in dead)
    }
    known = dict(reasons(table))
    found = [
        f"{_where(what)}: no test, no reason: {k[2]} ({k[3]})"
        for k, what in sorted(open_.items(), key=lambda item: _where(item[1]))
        if k not in known
    ]
    return found + [
        f"{k[0]}: a reason for what a test takes, or does not exist: {k[1]}: {k[2]} ({k[3]})"
        for k in known
        if k not in open_
    ]


def _where(what: Line | Direction) -> str:
    line = what.line if isinstance(what, Direction) else what
    return f"{line.file}:{line.line}"


def annotated(file: str, all_of_it: set[Line | Direction], taken: set[Line | Direction]) -> str:
    """A source with a mark before each line: `+` runs, `-` never does, `>` is never taken, `!` is
    always taken."""
    marks: dict[int, str] = {}
    for what in sorted(all_of_it, key=lambda w: isinstance(w, Direction)):
        line = what.line if isinstance(what, Direction) else what
        if line.file != file:
            continue
        if isinstance(what, Line):
            marks[line.line] = "-" if what not in taken else marks.get(line.line, "+")
        elif what not in taken and marks[line.line] != "-":
            marks[line.line] = ">" if what.taken else "!"
    text = data_dir(file).read_text(encoding="utf-8").splitlines()
    return "".join(f"{marks.get(n, ' ')} {line}\n" for n, line in enumerate(text, 1))


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %"


def main(folder: Path) -> int:
    """Write and print the report. Returns the exit code: 1 for a problem."""
    all_of_it, record = everything(), read(folder)
    taken = all_of_it & record.taken
    for file in sorted({file for file, _ in of_lines(all_of_it)}):
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(annotated(file, all_of_it, taken))
    found = problems(all_of_it, taken, tomllib.loads(REASONS.read_text(encoding="utf-8")))
    print(*found, sep="\n", end="\n" if found else "")
    lines, run = of_lines(all_of_it), of_lines(all_of_it) - of_lines(all_of_it - taken)
    ways, went = of_directions(all_of_it), of_directions(taken)
    print(
        f"{len(run)} of {len(lines)} lines, {len(went)} of {len(ways)} directions; see {folder}/asm"
    )
    print(
        f"{percent(len(run), len(lines))} of lines, {percent(len(went), len(ways))} of directions"
    )
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
