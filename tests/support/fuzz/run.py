"""`python -m tests.support.fuzz.run --seconds N --seed N`: fuzz the firmware.

Each run is of an input: a base and changes. One that takes an edge that none took before is kept
and changed further. A run that does not end as it may is done again by the stock emulator, and
its input is written to out/fuzz/. `--input FILE` runs the inputs of a file and tells how each
ends.
"""

import argparse
import random
import sys
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import pytest

from fwbuild.emulator.machine import Outcome
from fwbuild.emulator.state import End
from tests.support.fuzz import bases, draw, verdict
from tests.support.fuzz.inputs import Host, Input
from tests.support.fuzz.machine import BYTES, LIMIT, LeanMachine
from tests.support.sandbox import Sandbox

CORPUS = Path(__file__).parent / "corpus.jsonl"
ROUND = 300  # runs of one base
KEPT_EVERY = 60  # seconds, after which the corpus is written
MACHINES = 12  # that are kept
SLOW = 1_000_000  # bytes of instructions: inputs that take more are not changed further
JUDGED = 8  # one handoff of so many is judged, whatever it reached


@dataclass
class Failure:
    """An input that did not end as it may; `confirmed` by the stock emulator."""

    found: Input
    wrong: list[str]
    confirmed: bool


@dataclass
class Tally:
    """What a campaign came to. `ends` counts kinds of end, and stops by their code."""

    runs: int = 0
    judged: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    kept: list[Input] = field(default_factory=list)


class Fuzzer:
    """A campaign. The same seed, corpus and number of runs draw the same inputs."""

    def __init__(self, seed: int, corpus: Iterable[Input] = (), among: list[str] | None = None):
        self.numbers = random.Random(seed)
        self.among = among or bases.bases()
        for template in {base.partition("/")[0] for base in self.among}:
            bases.image(template)  # which takes long, and is no run
        self.corpus = list(corpus)
        self._waiting = list(self.corpus)  # to run as they are
        self.tally = Tally()
        self._machines: OrderedDict[str, tuple[LeanMachine, Host]] = OrderedDict()
        self._seen: set[str] = set()  # failures that were told, by what is wrong

    def machine(self, base: str) -> tuple[LeanMachine, Host]:
        if base not in self._machines:
            while len(self._machines) >= MACHINES:
                self._machines.popitem(last=False)
            machine = bases.lean(base)
            self._machines[base] = machine, Host.of(machine)
        self._machines.move_to_end(base)
        return self._machines[base]

    def fuzz(self, seconds: float) -> Tally:
        """Go on for so long, with one base after the other; the corpus comes first."""
        end = time.monotonic() + seconds
        while self._waiting and time.monotonic() < end:
            self.run(self._waiting.pop())
        while time.monotonic() < end:
            self.round(self.numbers.choice(self.among), ROUND, end)
        return self.tally

    def round(self, base: str, runs: int, end: float) -> None:
        """Runs of one base. Inputs of the others lend it their changes."""
        numbers, corpus = self.numbers, self.corpus
        _, host = self.machine(base)
        for _ in range(runs):
            if time.monotonic() >= end:
                return
            parent = numbers.choice(corpus) if corpus and numbers.random() < 0.8 else None
            other = numbers.choice(corpus) if corpus else Input(base, ())
            start = Input(base, parent.changes if parent else ())
            found = draw.mutate(numbers, host, start, other)
            if self.run(found):
                corpus.append(found)
                self.tally.kept.append(found)

    def run(self, found: Input) -> bool:
        """Run an input; whether it took a new edge, and is to be changed further."""
        machine, _ = self.machine(found.base)
        tally = self.tally
        host = found.apply(machine)
        try:
            outcome = machine.run()
            new = machine.hooks.counters.new_edges > 0
            spent = LIMIT * BYTES - machine.hooks.counters.left
            tally.runs += 1
            tally.ends[outcome.console[9:11] if outcome.kind == End.EXIT else outcome.kind] += 1
            judge = new or tally.runs % JUDGED == 0
            wrong = self._wrong(found, machine, host, judge)
            tally.judged += judge and outcome.kind == End.HANDOFF
        finally:
            machine.restore()
        if wrong:
            self.failed(found, wrong)
        return new and not wrong and spent < SLOW

    def failed(self, found: Input, wrong: list[str]) -> None:
        """Do it again, by the stock emulator. What was told is not told twice."""
        key = _kind(wrong[0])
        if key in self._seen:
            self.tally.ends["as before"] += 1
            return
        self._seen.add(key)
        print(f"{wrong[0]}\n  {found.text[:2000]}", flush=True)
        found = self.smaller(found, key)
        again = replay(found)
        self.tally.failures.append(Failure(found, again or wrong, bool(again)))

    def smaller(self, found: Input, key: str) -> Input:
        """The same failure by fewer changes."""
        at = 0
        while at < len(found.changes):
            fewer = Input(found.base, found.changes[:at] + found.changes[at + 1 :])
            if any(_kind(w) == key for w in self.wrong(fewer)):
                found = fewer
            else:
                at += 1
        return found

    def wrong(self, found: Input) -> list[str]:
        """Everything that is wrong with an input's run."""
        machine, _ = self.machine(found.base)
        host = found.apply(machine)
        try:
            machine.run()
            return self._wrong(found, machine, host, True)
        finally:
            machine.restore()

    def _wrong(self, found: Input, machine: LeanMachine, host: Host, judge: bool) -> list[str]:
        """Everything that is wrong with the run that a machine has done."""
        outcome = machine.outcome
        wrong = verdict.ended(outcome, verdict.asked(machine, host))
        if outcome.kind == End.HANDOFF and judge:
            wrong += verdict.judged(machine, host)
        if outcome.kind == End.EXIT and found.is_honest:
            wrong.append(f"a good host's guest does not boot: {outcome.console!r}")
        return wrong + verdict.strays(machine)


def _kind(wrong: str) -> str:
    """A complaint without its numbers."""
    return "".join(c for c in wrong if not c.isdigit())[:60]


def replay(found: Input) -> list[str]:
    """What is wrong with an input by the stock emulator, its stores watched."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        Sandbox(monkeypatch)
        machine = bases.stock(found.base)
        outcome, asked = exactly(found)
        if outcome.kind == End.LIMIT:  # which takes the stock emulator minutes to see
            return verdict.ended(outcome, asked)
        host = found.apply(machine)
        try:
            wrong = verdict.again(machine, host)
            if machine.outcome.kind == End.EXIT and found.is_honest:
                wrong.append(f"a good host's guest does not boot: {machine.outcome.console!r}")
            return wrong
        except AssertionError as error:
            return str(error).splitlines()


def exactly(found: Input) -> tuple[Outcome, int]:
    """How a run of an input ends, each instruction counted, and the iterations that its sizes ask
    for."""
    machine = bases.lean(found.base)
    host = found.apply(machine)
    return machine.run_exactly(), verdict.asked(machine, host)


def read(path: Path) -> list[Input]:
    """The inputs of a file, one a line."""
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return [Input.read(line) for line in lines if line]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"))
    parser.add_argument("--input", type=Path)
    parser.add_argument("--among", type=_among, help="a pattern of the names of bases")
    given = parser.parse_args(arguments)
    if given.input:
        failed = False
        for found in read(given.input):
            wrong = replay(found)
            failed |= bool(wrong)
            print(found.text[:200], *(wrong or ["ends as it may"]), sep="\n  ")
        return int(failed)
    fuzzer = Fuzzer(given.seed, read(CORPUS) + read(given.out / "corpus.jsonl"), given.among)
    given.out.mkdir(parents=True, exist_ok=True)
    started, end = time.process_time(), time.monotonic() + given.seconds
    while time.monotonic() < end:
        tally = fuzzer.fuzz(min(KEPT_EVERY, end - time.monotonic()))
        _write(given.out / "corpus.jsonl", fuzzer.corpus)
        _write(given.out / f"failures-{given.seed}.jsonl", [f.found for f in tally.failures])
        spent = time.process_time() - started
        print(f"{tally.runs} runs, {tally.runs / spent:.0f} a second of CPU time", flush=True)
    for failure in tally.failures:
        told = "" if failure.confirmed else "(not so in the emulator)"
        print(failure.found.text[:400], *failure.wrong[:4], told, sep="\n  ")
    print(dict(tally.ends.most_common()))
    print(f"{tally.judged} judged, {len(tally.kept)} inputs kept, {len(tally.failures)} failures")
    return int(any(f.confirmed for f in tally.failures))


def _among(pattern: str) -> list[str]:
    return [base for base in bases.bases() if fnmatch(base, pattern)]


def _write(path: Path, inputs: Iterable[Input]) -> None:
    path.write_text("".join(f"{found.text}\n" for found in inputs), encoding="ascii")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
