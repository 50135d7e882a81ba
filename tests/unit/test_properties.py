"""What holds whatever the host offers, and for every host that keeps to the contract: hypothesis
draws both. Its lies are those of the fuzzer, a change from each number."""

import random
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwbuild import protocols
from fwbuild.abi import e820
from fwbuild.emulator import recording
from fwbuild.emulator.state import End
from fwbuild.firmware import file_names
from fwbuild.guest import Guest
from tests.support.fuzz import bases, draw, verdict
from tests.support.fuzz.inputs import Host, Input
from tests.support.fuzz.lies import no_dma
from tests.support.fuzz.machine import LeanMachine
from tests.support.fuzz.native import SUPPORTED

LIES = settings(derandomize=True, max_examples=120, deadline=None)
HOSTS = settings(
    derandomize=True,
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
LIARS = (
    "universal/11.1/microvm-512M/pvh",
    "universal/7.2/pc-512M/linux",
    "universal/10.0/q35-512M/linux16",
    "universal/10.0/q35-512M/multiboot",
    "all-cpus/11.1/pc-512M/file",
    "linux/7.2/q35-512M/linux",
)
pytestmark = pytest.mark.skipif(not SUPPORTED, reason="its hooks are code for x86-64")
ABOVE = 1 << 37  # where no recording has RAM
PAGE = 4096


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
RANGES = st.lists(
    st.tuples(
        st.integers(0, 100),  # pages between it and the one before
        st.integers(1, 1000),  # pages
        st.sampled_from([e820.Type.RESERVED, e820.Type.ACPI, e820.Type.NVS]),
    ),
    max_size=6,
)


def with_ranges(found: recording.Recording, ranges: list[tuple[int, int, int]]) -> bytes:
    """The host's memory map, with further ranges above all that it has."""
    data, at = b"".join(e820.ENTRY.build(entry) for entry in found.memmap()), ABOVE
    for gap, pages, kind in ranges:
        at += gap * PAGE
        size = pages * PAGE
        data += e820.ENTRY.build({"addr": at, "size": size, "type": kind})
        at += size
    return data


@pytest.mark.parametrize("kernel", bases.KERNELS)
@HOSTS
@given(
    name=st.sampled_from(["microvm-512M", "pc-512M", "q35-512M"]),
    release=st.sampled_from(["7.2", "10.0", "11.1"]),
    template=st.sampled_from(["universal", "all-cpus"]),
    append=TEXT,
    initrd=st.binary(max_size=9000),
    modules=st.lists(st.tuples(st.binary(max_size=5000), TEXT), max_size=3),
    ranges=RANGES,
    dma=st.booleans(),
)
def test_a_host_that_keeps_to_the_contract(
    kernel: str,
    name: str,
    release: str,
    template: str,
    append: str,
    initrd: bytes,
    modules: list[tuple[bytes, str]],
    ranges: list[tuple[int, int, int]],
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
    files = {file_names.E820: with_ranges(found, ranges)}
    if kernel == "pvh":
        for number, (data, text) in enumerate(modules, 1):
            files[file_names.module(number)] = data
            files[file_names.module_cmdline(number)] = text.encode()
    offer, edges = found.with_files(files | loaded.files), bases.edges(template)
    machine = LeanMachine(bases.image(template).image, offer, loaded, edges)
    if not dma:
        no_dma(machine)
    assert machine.run().kind == End.HANDOFF, machine.outcome.console
    assert protocols.judge(replace(machine.state(), told=dma)) == []
    assert verdict.strays(machine) == []
