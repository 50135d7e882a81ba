"""A pytest plugin: which statements and directions each test's emulated CPUs took.

It hooks the blocks of every unicorn that runs an image of ours, also one whose bytes a test has
changed a little: what was changed is left out. Each process writes a file of its own to the folder.
"""

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from unicorn import UC_HOOK_BLOCK, Uc, UcError
from unicorn import x86_const as ux

from fwbuild.emulator.machine import HLT
from fwbuild.firmware.layout import ROM
from fwbuild.image import build
from fwbuild.image.build import Image
from fwbuild.image.template import Template
from tests.support.coverage.places import Direction, Line, Places

FOLDER = "FWBUILD_COVERAGE"  # the environment variable that switches the recorder on
CHANGED = 64  # bytes that a test may have changed in an image
BLOCKS_MAX = 300_000  # that are noted of a run; a longer one goes round a loop that the host bounds
Block = tuple[int, int]  # address, size


class Run:
    """The blocks of one unicorn, each with the one before."""

    def __init__(self, uc: Uc) -> None:
        self.uc = uc
        self.steps: dict[tuple[Block | None, Block], int] = defaultdict(int)  # how often
        self.last: Block | None = None
        self.left = BLOCKS_MAX
        self.hook = uc.hook_add(UC_HOOK_BLOCK, self.on_block)

    def on_block(self, uc: Uc, address: int, size: int, _data: Any) -> None:
        block = address, size
        self.steps[self.last, block] += 1
        self.last = block
        self.left -= 1
        if not self.left:
            uc.hook_del(self.hook)
            self.last = None  # where it ends is not seen

    def stopped_in(self) -> tuple[Block, int] | None:
        """The last block and the bytes of it that ran, if it was left before its end. An emulated
        run ends at a halt, which counts as one that ran."""
        uc = self.uc
        eip = uc.reg_read(ux.UC_X86_REG_EIP)
        if not self.last:
            return None
        start, size = self.last
        offset = eip - start & (0xFFFF if eip <= 0xFFFF else 0xFFFFFFFF)
        if offset < size and uc.mem_read(start + offset, len(HLT)) == HLT:
            offset += len(HLT)
        return (self.last, offset) if offset < size else None


class Recorder:
    """The plugin. `folder` takes the files."""

    def __init__(self, folder: Path, worker: str) -> None:
        self.folder, self.worker = folder, worker
        self.images: dict[bytes, Places] = {}
        self.known: dict[bytes, tuple[Places, frozenset[int]] | None] = {}
        self.names: dict[tuple[Any, ...], int] = {}
        self.tests: dict[str, set[int]] = defaultdict(set)
        self.seconds: dict[str, float] = defaultdict(float)
        self.current = ""
        self._patch_build()
        self._patch_unicorn()

    def _patch_build(self) -> None:
        make = build._build

        def made(chosen: Template) -> Image:
            image = make(chosen)
            if image.image not in self.images:
                self.images[image.image] = Places(image)
            return image

        build._build = made  # type: ignore[assignment]

    def _patch_unicorn(self) -> None:
        start = Uc.emu_start

        def emu_start(uc: Uc, *args: Any, **kwargs: Any) -> None:
            places = self._image(uc)
            run = Run(uc) if places else None
            try:
                start(uc, *args, **kwargs)
            finally:
                if run and places:
                    self._take(run, *places)

        Uc.emu_start = emu_start

    def _image(self, uc: Uc) -> tuple[Places, frozenset[int]] | None:
        """The image that a unicorn has, and the addresses at which its bytes differ."""
        try:
            data = bytes(uc.mem_read(ROM.base, ROM.size))
        except UcError:
            return None
        if data not in self.known:
            self.known[data] = self._nearest(data)
        return self.known[data]

    def _nearest(self, data: bytes) -> tuple[Places, frozenset[int]] | None:
        best = None
        for image, places in self.images.items():
            wrong = int.from_bytes(image, "big") ^ int.from_bytes(data, "big")
            changed = {
                ROM.base + at for at, byte in enumerate(wrong.to_bytes(ROM.size, "big")) if byte
            }
            if len(changed) <= CHANGED and (best is None or len(changed) < len(best[1])):
                best = places, frozenset(changed)
        return best

    def _take(self, run: Run, places: Places, changed: frozenset[int]) -> None:
        """Note a run. The last block may have been left before its end the only time it ran."""
        cut, ran = run.stopped_in() or (None, 0)
        if sum(times for (_, block), times in run.steps.items() if block == cut) > 1:
            cut = None
        for before, block in run.steps:
            self._lines(places, changed, block[0], ran if block == cut else block[1])
            if before:
                start = places.home(before[0])
                end, following = start + before[1], places.home(block[0])
                if changed.isdisjoint(range(start, end)):
                    self._add(places.direction(start, end, following))

    def _lines(self, places: Places, changed: frozenset[int], address: int, size: int) -> None:
        start = places.home(address)
        if not changed or changed.isdisjoint(range(start, start + size)):
            for _, line in places.lines(start, start + size):
                self._add(line)

    def _add(self, what: Line | Direction | None) -> None:
        if what is not None:
            key = (*what.line, what.taken) if isinstance(what, Direction) else tuple(what)
            self.tests[self.current].add(self.names.setdefault(key, len(self.names)))

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Iterator[None]:
        """What a shared fixture runs is all its users': it is kept under the name of their file."""
        before = self.current
        if fixturedef.scope != "function":
            self.current = before.partition("::")[0]
        try:
            return (yield)
        finally:
            self.current = before

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.current = item.nodeid
        try:
            return (yield)
        finally:
            self.current = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Of CPU time, and without what is made for several tests."""
        began = time.process_time()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] += time.process_time() - began

    def pytest_sessionfinish(self) -> None:
        if self.tests:
            self.folder.mkdir(parents=True, exist_ok=True)
            found = {
                "names": list(self.names),
                "tests": {name: sorted(numbers) for name, numbers in self.tests.items()},
                "seconds": {name: round(s, 3) for name, s in self.seconds.items()},
            }
            (self.folder / f"{self.worker}.json").write_text(json.dumps(found))


def recorder() -> Recorder | None:
    """The plugin, if the environment asks for it."""
    folder = os.environ.get(FOLDER)
    return (
        Recorder(Path(folder), os.environ.get("PYTEST_XDIST_WORKER", "alone")) if folder else None
    )
