"""The guest that tries an accelerator does what the trial waits for, in a real QEMU."""

import pytest

from fwbuild.payloads.trial import build_trial
from fwbuild.qemu import trial

pytestmark = pytest.mark.qemu


def test_tcg_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "COUNT_SECONDS", 60)
    assert trial.problem(build_trial(), "tcg") == ""


def test_another_firmware_fails_it() -> None:
    assert trial.problem(bytes(1 << 16), "tcg")


def test_a_slow_one_fails_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "COUNT_SECONDS", 0)
    assert "to count to" in trial.problem(build_trial(), "tcg")
