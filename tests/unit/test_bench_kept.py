"""A bench that is ended early keeps what it has measured."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fwbuild.bench.race import Race
from fwbuild.bench.result import Result, Row
from fwbuild.cli import main
from fwbuild.errors import ExitCode
from fwbuild.qemu.program import Qemu
from fwbuild.verbs import bench
from tests.support.results import result


def test_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test_kernel: bytes) -> None:
    def rows(self: Race) -> Iterator[list[Row]]:
        self.notes.append("a first note")
        yield result().rows
        raise KeyboardInterrupt

    kernel, out, page = tmp_path / "kernel", tmp_path / "out", tmp_path / "page.html"
    kernel.write_bytes(test_kernel)
    monkeypatch.setattr(Race, "rows", rows)
    monkeypatch.setattr(bench, "program", lambda: Qemu("qemu", "7.2.22"))
    status = main(
        ["bench", "--kernel", str(kernel), "--no-peers", "--out", str(out), "--report", str(page)]
    )
    assert status != ExitCode.OK
    kept = Result.from_json((out / "results.json").read_text())
    assert kept.rows == result().rows
    assert "a first note" in kept.notes
    assert "qboot.rom" in page.read_text()
