"""What holds whatever the host offers, and for every host that keeps to the contract: hypothesis
draws both, from the fuzzer's grammar: tests/support/fuzz/draw.py and honest.py."""

import random
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwbuild import protocols
from fwbuild.emulator import recording
from fwbuild.emulator.state import End
from fwbuild.guest import Guest
from tests.support.fuzz import bases, draw, honest, verdict
from tests.support.fuzz.inputs import Host, Input
from tests.support.fuzz.lies import no_dma
from tests.support.fuzz.machine import LeanMachine
from tests.support.fuzz.native import SUPPORTED
from tests.support.fuzz.run import Fuzzer

LIES = settings(derandomize=True, max_examples=120, deadline=None)
GUESTS = settings(
    derandomize=True,
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
GOOD = settings(derandomize=True, max_examples=100, deadline=None)
PART = settings(derandomize=True, max_examples=20, deadline=None)
LIARS = (
    "universal/11.1/microvm-512M/pvh",
    "universal/7.2/pc-512M/linux",
    "universal/10.0/q35-512M/linux16",
    "universal/10.0/q35-512M/multiboot",
    "all-cpus/11.1/pc-512M/file",
    "linux/7.2/q35-512M/linux",
)
pytestmark = pytest.mark.skipif(not SUPPORTED, reason="its hooks are code for x86-64")


@pytest.mark.parametrize("base", LIARS)
@LIES
@given(numbers=st.lists(st.integers(0, 2**32 - 1), max_size=5))
def test_whatever_the_host_offers(base: str, numbers: list[int]) -> None:
    """A state that the judge accepts, or a stop, and no store outside the declared areas."""
    machine = lean(base)
    host = Host.of(machine)
    changes = tuple(draw.change(random.Random(number), host) for number in numbers)
    offered = Input(base, changes).apply(machine)
    try:
        outcome = machine.run()
        wrong = verdict.ended(outcome, verdict.asked(machine, offered))
        if outcome.kind == End.HANDOFF:
            wrong += verdict.judged(machine, offered)
        assert wrong + verdict.strays(machine) == [], Input(base, changes).text
    finally:
        machine.restore()


lean = cache(bases.lean)
TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=200)


@pytest.mark.parametrize("kernel", bases.KERNELS)
@GUESTS
@given(
    name=st.sampled_from(["microvm-512M", "pc-512M", "q35-512M"]),
    release=st.sampled_from(["7.2", "10.0", "11.1"]),
    template=st.sampled_from(["universal", "all-cpus"]),
    append=TEXT,
    initrd=st.binary(max_size=9000),
    dma=st.booleans(),
)
def test_what_a_user_asks_qemu_for(
    kernel: str,
    name: str,
    release: str,
    template: str,
    append: str,
    initrd: bytes,
    dma: bool,
    tmp_path: Path,
) -> None:
    """Its kernel is entered, as its protocol asks."""
    found = recording.load(recording.PACKAGED / release / f"{name}.json")
    path = tmp_path / "initrd"
    path.write_bytes(initrd)
    guest = Guest(
        found.machine,
        found.memory,
        found.smp,
        initrd=path if initrd else None,
        append=append.strip(),
        accel=found.accel,
        firmware_loads=kernel == "file",
    )
    loaded = protocols.load(guest, found, bases.KERNELS[kernel]())
    assert loaded
    machine = LeanMachine(bases.image(template).image, found, loaded, bases.edges(template))
    if not dma:
        no_dma(machine)
    assert machine.run().kind == End.HANDOFF, machine.outcome.console
    assert protocols.judge(replace(machine.state(), told=dma)) == []
    assert verdict.strays(machine) == []


fuzzer = cache(lambda: Fuzzer(1))


def names() -> st.SearchStrategy[str]:
    """Bases whose guests boot."""
    return st.sampled_from([name for name in bases.bases() if Input(name, ()).is_honest])


@GOOD
@given(base=names(), number=st.integers(0, 2**32 - 1))
def test_a_host_that_keeps_to_the_contract(base: str, number: int) -> None:
    """Its guest boots. All that it offers differs from the recording's."""
    found = draw.good(random.Random(number), base)
    assert fuzzer().wrong(found) == [], found.text


@pytest.mark.parametrize("part", honest.PARTS)
@PART
@given(base=names(), seed=st.integers(0, 2**32 - 1))
def test_a_part_that_keeps_to_the_contract(part: str, base: str, seed: int) -> None:
    found = Input(base, (["honest", part, seed],))
    assert fuzzer().wrong(found) == [], found.text
