"""`python -m tests.support.mutation.run FOLDER COUNT SEED`: how many changes do the tests notice?

FOLDER has what `make coverage` left. pytest collects once; each mutant gets a forked process that
runs the tests which took its line, the fastest first, up to the first that fails. If none does,
all other tests of their files run, since some share what a fixture has run. A mutant that no test
has noticed in SECONDS survives. One with which a test takes far longer than it did hangs: that is
noticed.
"""

import os
import random
import select
import signal
import sys
import time
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from fwbuild.image import build
from fwbuild.image.build import Image, build_image
from fwbuild.image.template import Template, names
from tests.support.coverage.places import Line
from tests.support.coverage.report import Record, read
from tests.support.mutation.mutants import Mutant, mutants, mutated

SECONDS = 120  # for one mutant
# A test may take so many seconds, and so many times as long as it did.
PATIENCE, SLOWER = 20.0, 10.0
PASSED, FAILED = b".", b"F"
REASONS = Path(__file__).resolve().parents[2] / "mutation.toml"
ARGUMENTS = [
    *("-o", "addopts=--strict-markers"),
    *("-p", "no:cacheprovider", "-p", "no:terminal", "-p", "no:xdist", "-m", "not qemu"),
]
NOTICED, SURVIVED, LATE = 0, 1, 2


class Mutation:
    """The pytest plugin that runs the tests of each mutant instead of all tests once."""

    def __init__(self, record: Record, chosen: Sequence[Mutant]) -> None:
        self.record, self.chosen = record, chosen
        self.ends: dict[Mutant, tuple[int, str]] = {}
        self.failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        make = build._build
        for name in names():
            build_image(name)  # once, for all children
        items = {item.nodeid: item for item in session.items}
        for number, mutant in enumerate(self.chosen, 1):
            first, others = self._tests(mutant.line, items)
            began = time.monotonic()
            end, who = self._forked(mutant, make, [items[name] for name in [*first, *others]])
            self.ends[mutant] = end, who
            said = {NOTICED: f"noticed by {who}", SURVIVED: "SURVIVED", LATE: f"hangs in {who}"}
            took = time.monotonic() - began
            print(f"{number}: {mutant}: {said[end]}, {took:.1f} s", flush=True)
        return True

    def _tests(self, line: Line, items: dict[str, pytest.Item]) -> tuple[list[str], list[str]]:
        """(the tests that took a line, the other tests of their files), fast ones first."""
        took = {name for name, lines in self.record.tests.items() if line in lines}
        files = {name.partition("::")[0] for name in took}
        order = sorted(items, key=lambda name: self.record.seconds.get(name, 1.0))
        first = [name for name in order if name in took]
        return first, [n for n in order if n not in took and n.partition("::")[0] in files]

    def _forked(self, mutant: Mutant, make: object, tests: list[pytest.Item]) -> tuple[int, str]:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os.setsid()
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            self._run(mutant, make, tests, writing)
            os._exit(0)
        os.close(writing)
        try:
            return self._follow(reading, tests)
        finally:
            os.close(reading)
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def _follow(self, reading: int, tests: list[pytest.Item]) -> tuple[int, str]:
        """How a child ends, which says a byte for each test: FAILED or PASSED."""
        began = time.monotonic()
        for item in tests:
            patience = PATIENCE + SLOWER * self.record.seconds.get(item.nodeid, 1.0)
            if not select.select([reading], [], [], patience)[0]:
                return LATE, item.nodeid
            if os.read(reading, 1) != PASSED:  # nothing: the child has died
                return NOTICED, item.nodeid
            if time.monotonic() - began > SECONDS:
                break
        return SURVIVED, ""

    def _run(self, mutant: Mutant, make: object, tests: list[pytest.Item], writing: int) -> None:
        @cache
        def made(chosen: Template) -> Image:
            return mutated(make(chosen), mutant)  # type: ignore[operator]

        build._build = made
        for item, following in zip(tests, [*tests[1:], None], strict=True):
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            os.write(writing, FAILED if self.failed else PASSED)
            if self.failed:
                return


def reasons() -> dict[tuple[str, str, str, str], str]:
    """Why a mutant survives, by (file, routine, statement, kind)."""
    table = tomllib.loads(REASONS.read_text(encoding="utf-8"))
    return {
        (entry["file"], entry["routine"], *row): entry["why"]
        for entry in table["survives"]
        for row in entry["rows"]
    }


def main(folder: Path, count: int, seed: int) -> int:
    """Run it. Returns the exit code: 1 if a mutant survived without a reason."""
    record = read(folder)
    images = [build_image(name) for name in names()]
    candidates = [m for m in mutants(images) if m.line in record.taken]
    chosen = random.Random(seed).sample(candidates, min(count, len(candidates)))
    plugin = Mutation(record, chosen)
    pytest.main([*ARGUMENTS, "tests/unit"], plugins=[plugin])
    known = reasons()
    survivors = [m for m, (end, _) in plugin.ends.items() if end == SURVIVED]
    open_ = 0
    for mutant in survivors:
        line = mutant.line
        why = known.get((line.file, line.routine, line.text, mutant.kind))
        open_ += why is None
        print(f"{mutant}: " + (f"survives: {why}" if why else "survives, without a reason"))
    print(f"noticed {len(plugin.ends) - len(survivors)} of {len(plugin.ends)}")
    return bool(open_)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
