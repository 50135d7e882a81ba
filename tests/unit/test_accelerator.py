"""Which accelerator `run` takes: QEMUs that do everything that a KVM may do are tried."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fwbuild.abi import ports
from fwbuild.firmware import stop_codes, test_kernel, trial
from fwbuild.guest import Guest
from fwbuild.payloads.trial import build_trial
from fwbuild.qemu import trial as trying
from fwbuild.qemu.program import Qemu, chosen
from fwbuild.verbs import accelerator

VERSION = 'case "$*" in *--version*) echo QEMU emulator version 9.0.0; exit;; esac\n'
DONE = ports.debug_exit_status(trial.EXIT_DONE)

# what a QEMU does after it was asked for its version: the problem's words, "" for none; a "sleep"
# is as long as nobody waits
QEMUS = {
    "a guest that counts": (f"printf '!'; exit {DONE}", ""),
    "an emulator in the kernel": ("printf '!'; exec sleep 60", "took more than 0.3 s to count"),
    "no guest at all": ("exec sleep 60", "has not run after 0.3 s"),
    "no KVM in it": ("echo q: invalid accelerator kvm >&2; exit 1", "q: invalid accelerator kvm"),
    "a crash": ("printf '!'; exit 134", "ended with status 134"),
    "a silent end": ("exit 1", "ends before a guest runs"),
    "no end": ("printf '!'; exec >&-; exec sleep 60", "does not end"),
}  # fmt: skip


@pytest.fixture
def qemu(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a QEMU that is a shell script."""

    def make(script: str) -> Path:
        path = tmp_path / "qemu"
        path.write_text(f"#!/bin/sh\n{VERSION}{script}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "kvm"
    path.touch()
    return path


@pytest.mark.parametrize("name", QEMUS)
def test_problem(
    name: str, qemu: Callable[[str], Path], device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, words = QEMUS[name]
    seconds = 0.3 if "sleep" in script else 30
    for limit in ("START_SECONDS", "COUNT_SECONDS", "END_SECONDS"):
        monkeypatch.setattr(trying, limit, seconds)
    with chosen(str(qemu(script))):
        problem = trying.kvm_problem(b"", device)
    assert words in problem and bool(words) == bool(problem)


def test_no_device(tmp_path: Path) -> None:
    assert trying.kvm_problem(b"", tmp_path / "none") == f"there is no {tmp_path / 'none'}"


# --accel, the guest: what becomes of Guest.accel where KVM works, and where it does not
CHOICES = {
    "kvm by name": ("kvm", Guest(), "kvm", "kvm"),
    "tcg by name": ("tcg", Guest(), "tcg", "tcg"),
    "by trying": ("auto", Guest(), "kvm", "tcg"),
    "by QEMU's option": ("auto", Guest(extra=("-accel", "hvf")), "", ""),
    "by QEMU's short option": ("auto", Guest(extra=("-enable-kvm",)), "", ""),
    "by the machine": ("auto", Guest("q35,accel=kvm:tcg"), "", ""),
    "by the machine, later": ("auto", Guest(extra=("--machine", "pc,accel=tcg")), "", ""),
    "not by a device": ("auto", Guest(extra=("-device", "x,accel=1")), "kvm", "tcg"),
}


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("works", [True, False])
def test_choice(name: str, works: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, guest, with_kvm, without = CHOICES[name]
    monkeypatch.setattr(accelerator, "_tried", lambda _: "" if works else "it is broken")
    monkeypatch.setattr(accelerator, "program", lambda: Qemu("qemu", "9.0.0"))
    found, why = accelerator.with_accelerator(guest, wanted)
    assert found.accel == (with_kvm if works else without)
    assert ("it is broken" in why) == (not works and without == "tcg" and wanted == "auto")


def test_its_end_means_nothing_else() -> None:
    others = {stop.code for stop in stop_codes.STOPS}
    others |= {test_kernel.EXIT_OK, test_kernel.EXIT_BAD}
    assert trial.EXIT_DONE not in others


def test_the_trial_starts_at_the_reset_vector() -> None:
    image = build_trial()
    assert len(image) == 1 << 16
    assert image[-16] == 0xEB and image[-14:] == bytes(14)  # a short jump, and nothing else
