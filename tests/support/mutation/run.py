"""`python -m tests.support.mutation.run FOLDER COUNT SEED`: how many changes do the tests notice?

FOLDER has what `make coverage` left. pytest collects once; each mutant gets a forked process that
runs tests in the order of order.py, up to the first that fails. A mutant that no test has noticed
after SECONDS of CPU time survives. One with which a test takes far longer than it did hangs: that
is noticed. As many mutants run at a time as there are CPUs.
"""

import os
import pickle
import random
import select
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings

from fwbuild.image import build
from fwbuild.image.build import Image, build_image
from fwbuild.image.template import Template, names
from tests.support.coverage.report import Record, read
from tests.support.mutation.mutants import Mutant, mutants, mutated
from tests.support.mutation.order import Order

SECONDS = 90.0  # of CPU time, for one mutant
# A test may take so many seconds of CPU time, and so many times as long as it did.
PATIENCE, SLOWER = 10.0, 10.0
SHARED = 60.0  # and what is made for several tests so many
STALLED = 300.0  # seconds without a word from a mutant's process, which may wait for nothing
PASSED, FAILED, BUILT = b".", b"F", b"B"
REASONS = Path(__file__).resolve().parents[2] / "mutation.toml"
ARGUMENTS = [
    *("-o", "addopts=--strict-markers", "--assert=plain"),
    *("-p", "no:cacheprovider", "-p", "no:terminal", "-p", "no:xdist", "-m", "not qemu"),
]
NOTICED, SURVIVED, HANGS = "noticed by", "SURVIVED", "hangs in"


@dataclass
class Child:
    """The process of one mutant, and what it has told through its pipe: a line for each test."""

    mutant: Mutant
    pid: int
    reading: int
    tests: list[str]
    heard: float = field(default_factory=time.monotonic)
    said: bytes = b""
    passed: int = 0
    failed: bool = False

    @property
    def test(self) -> str:
        """The test that runs, or has failed."""
        return self.tests[self.passed] if self.passed < len(self.tests) else ""


@dataclass(frozen=True)
class Ended:
    """How a mutant ended: NOTICED, SURVIVED or HANGS, in which test, after how much CPU time."""

    how: str
    test: str
    seconds: float


class Mutation:
    """The pytest plugin that runs the tests of each mutant instead of all tests once."""

    def __init__(self, record: Record, chosen: Sequence[Mutant]) -> None:
        self.record, self.chosen = record, chosen
        self.ends: dict[Mutant, Ended] = {}
        self.failed = False
        self.make: Callable[[Template], Image] = build._build
        self.built: set[Template] = set()  # by this process, for all children

    def pytest_configure(self, config: pytest.Config) -> None:
        config.option.tbstyle = "native"  # nobody reads how a test failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        """What is made for several tests is not one test's time."""
        if fixturedef.scope == "function":
            return (yield)
        left, _ = signal.setitimer(signal.ITIMER_PROF, SHARED)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_PROF, left)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for name in names():
            self.built.add(build_image(name).template)
        items = {item.nodeid: item for item in session.items}
        order = Order(self.record, items)
        waiting, running = list(self.chosen)[::-1], dict[int, Child]()
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1):
                mutant = waiting.pop()
                tests = order.of(mutant.line)
                child = self._fork(mutant, [items[name] for name in tests])
                running[child.reading] = child
            ready, _, _ = select.select(list(running), [], [], STALLED)
            for child in list(running.values()):
                over = child.reading in ready and not self._hear(child)
                if over or time.monotonic() - child.heard > STALLED:
                    del running[child.reading]
                    self._end(child)
        return True

    def _fork(self, mutant: Mutant, tests: list[pytest.Item]) -> Child:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            os.setsid()
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            self._run(mutant, tests, writing)
            os._exit(0)
        os.close(writing)
        return Child(mutant, pid, reading, [item.nodeid for item in tests])

    def _hear(self, child: Child) -> bool:
        """Take what a child says. False: it has nothing more to say."""
        data = os.read(child.reading, 1 << 16)
        child.heard = time.monotonic()
        *lines, child.said = (child.said + data).split(b"\n")
        for line in lines:
            if line == PASSED:
                child.passed += 1
            elif line == FAILED:
                child.failed = True
            else:  # the next child need not build it again
                template = pickle.loads(bytes.fromhex(line[1:].decode()))
                self.built.add(template)
                self.make(template)
        return bool(data) and not child.failed

    def _end(self, child: Child) -> None:
        os.close(child.reading)
        stalled = time.monotonic() - child.heard > STALLED
        if stalled or child.failed:  # it may have started others
            os.killpg(child.pid, signal.SIGKILL)
        _, status, used = os.wait4(child.pid, 0)
        slow = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF
        # a mutant may end its process, too
        how = HANGS if stalled or slow else NOTICED if child.failed or status else SURVIVED
        seconds = used.ru_utime + used.ru_stime
        self.ends[child.mutant] = Ended(how, child.test if how != SURVIVED else "", seconds)
        who = f" {child.test}" if how != SURVIVED else f" {child.passed} tests"
        print(f"{len(self.ends)}: {child.mutant}: {how}{who}, {seconds:.1f} s", flush=True)

    def _run(self, mutant: Mutant, tests: list[pytest.Item], writing: int) -> None:
        """What the child does."""

        @cache
        def made(chosen: Template) -> Image:
            image = self.make(chosen)
            if chosen not in self.built:
                os.write(writing, BUILT + pickle.dumps(chosen).hex().encode() + b"\n")
            return mutated(image, mutant)

        build._build = made
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        began = time.process_time()
        for item, following in zip(tests, [*tests[1:], None], strict=True):
            patience = PATIENCE + SLOWER * self.record.seconds.get(item.nodeid, 1.0)
            signal.setitimer(signal.ITIMER_PROF, patience)
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            os.write(writing, (FAILED if self.failed else PASSED) + b"\n")
            if self.failed or time.process_time() - began > SECONDS:
                return


Key = tuple[
    str, str, str, str, int
]  # file, routine, statement, kind, which of these in the routine


def keyed(changes: Iterable[Mutant]) -> dict[Key, Mutant]:
    """Mutants by the way in which a reason names them."""
    seen: Counter[tuple[str, str, str, str]] = Counter()
    found: dict[Key, Mutant] = {}
    for mutant in sorted(changes):
        line = mutant.line
        same = line.file, line.routine, line.text, mutant.kind
        seen[same] += 1
        found[*same, seen[same]] = mutant
    return found


def reasons() -> dict[Key, str]:
    """Why a mutant cannot be noticed. A row without a number is of the first."""
    table = tomllib.loads(REASONS.read_text(encoding="utf-8"))
    return {
        (entry["file"], entry["routine"], text, kind, number[0] if number else 1): entry["why"]
        for entry in table["survives"]
        for text, kind, *number in entry["rows"]
    }


def main(folder: Path, count: int, seed: int) -> int:
    """Run it. Returns the exit code: 1 if a mutant survived. Those with a reason are not tried."""
    record, known = read(folder), reasons()
    images = [build_image(name) for name in names()]
    changes = keyed(mutants(images))
    candidates = sorted(m for k, m in changes.items() if k not in known and m.line in record.taken)
    chosen = random.Random(seed).sample(candidates, min(count, len(candidates)))
    plugin = Mutation(record, chosen)
    # one example that fails is enough
    settings.register_profile("mutation", phases=[Phase.explicit, Phase.generate])
    settings.load_profile("mutation")
    pytest.main([*ARGUMENTS, "tests/unit"], plugins=[plugin])
    survivors = [m for m, ended in plugin.ends.items() if ended.how == SURVIVED]
    for mutant in survivors:
        print(f"{mutant}: survives")
    print(
        f"drawn from {len(candidates)}; {len(known)} more change nothing ({REASONS.name} says why)"
    )
    tried = len(plugin.ends)
    spent = sum(ended.seconds for ended in plugin.ends.values())
    print(f"{spent / max(tried, 1):.1f} s of CPU time a change")
    print(f"noticed {tried - len(survivors)} of {tried}")
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
