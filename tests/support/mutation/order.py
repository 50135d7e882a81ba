"""Which tests may notice a change of a line, the likely and the quick ones first."""

from collections import defaultdict
from collections.abc import Iterable

from tests.support.coverage.places import Direction, Line
from tests.support.coverage.report import Record

UNKNOWN = 1.0  # seconds, for a test that was not timed
START = 0.1  # seconds that any test takes besides its own
Statement = Line | Direction


def _function(name: str) -> str:
    """The test function of a case."""
    return name.partition("[")[0]


def _line(what: Statement) -> Line:
    return what.line if isinstance(what, Direction) else what


class Order:
    """The tests of a run, by what they took. `names` are those that there are still."""

    def __init__(self, record: Record, names: Iterable[str]) -> None:
        self.seconds = record.seconds
        self.names = sorted(names, key=self._seconds)
        self.takers: dict[Statement, list[str]] = defaultdict(list)  # quick ones first
        self.routines: dict[str, set[Statement]] = defaultdict(set)
        for name in self.names:
            for what in record.tests.get(name, ()):
                self.takers[what].append(name)
        self.functions: dict[Statement, set[str]] = defaultdict(set)
        self.sources: dict[str, set[Statement]] = defaultdict(set)
        self.worth: dict[str, dict[str, float]] = {}  # by file of the assembly
        self.files: dict[Line, set[str]] = defaultdict(set)  # whose tests or fixtures took a line
        for name, taken in record.tests.items():
            for what in taken:
                if isinstance(what, Line):
                    self.files[what].add(name.partition("::")[0])
                self.functions[what].add(_function(name))
                self.routines[_line(what).routine].add(what)
                self.sources[_line(what).file].add(what)

    def _seconds(self, name: str) -> float:
        return self.seconds.get(name, UNKNOWN)

    def _worth(self, file: str) -> dict[str, float]:
        """How much each test function is about a file of the assembly: what few others make it do
        counts more than what any boot does."""
        if file not in self.worth:
            found = self.worth[file] = defaultdict(float)
            for what in self.sources[file]:
                for function in self.functions[what]:
                    found[function] += 1 / len(self.functions[what])
        return self.worth[file]

    def of(self, line: Line) -> list[str]:
        """First, for each thing that the line's routine does, the quickest test that makes it do
        so; then the other cases, by what their function is worth for the time that they take; last
        the tests of the same files, for some share what a fixture has run."""
        took = self.takers[line]
        among = set(took)
        first = {
            next((name for name in self.takers[what] if name in among), "")
            for what in self.routines[line.routine]
        }
        first.discard("")
        worth = self._worth(line.file)
        cases: dict[str, int] = defaultdict(int)
        value = {}
        for name in took:
            function = _function(name)
            cases[function] += 1  # each further one tells less
            value[name] = worth[function] / cases[function] / (START + self._seconds(name))
        then = sorted(among - first, key=lambda name: -value[name])
        files = self.files[line]
        last = [n for n in self.names if n not in among and n.partition("::")[0] in files]
        return [*sorted(first, key=self._seconds), *then, *last]
