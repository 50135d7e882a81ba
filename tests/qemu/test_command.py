"""A Guest as QEMU's arguments, and `run`."""

import itertools
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from fwbuild.abi import ports
from fwbuild.cli import main
from fwbuild.emulator.recording import load
from fwbuild.errors import ExitCode
from fwbuild.firmware import stop_codes
from fwbuild.guest import Guest
from fwbuild.payloads.test_kernel import (
    build_test_bzimage,
    build_test_kernel,
    build_test_multiboot,
)
from fwbuild.qemu.command import command
from fwbuild.qemu.program import VARIABLE, program

pytestmark = pytest.mark.qemu

TABLE = {
    "plain": (Guest(), "-M microvm -accel tcg -smp 1 -m 512M"),
    "machine options": (Guest("microvm,acpi=off"), "-M microvm,acpi=off"),
    "no whole MiB": (Guest(memory=1537 << 10), "-m 1537K"),
    "terabyte": (Guest(memory=1 << 40), "-m 1048576M"),
    "kvm": (Guest(accel="kvm", smp=4), "-accel kvm -smp 4"),
    "kernel": (Guest(kernel=Path("k"), append="a", initrd=Path("i")),
               "-kernel k -append a -initrd i"),
    "extra comes last": (Guest(extra=("-icount", "shift=auto")), "-icount shift=auto"),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_command(case: str) -> None:
    guest, expected = TABLE[case]
    argv = " ".join(command(guest)[1:]) + " "
    assert argv.startswith("-nodefaults -no-user-config -display none -no-reboot ")
    assert f" {expected} " in argv
    assert (" -append " in argv) == bool(guest.append)


def test_commas_are_doubled() -> None:
    argv = command(Guest(), console=Path("a,b"))
    assert "file,id=debug,path=a,,b" in argv


def test_scratch_folder_with_comma_and_long_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("a,b" + "x" * 100)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    assert main(["run", "-m", "64M"]) == ExitCode.OK
    assert main(["record", "--out", str(tmp_path / "out.json")]) == ExitCode.OK


def test_record_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    assert main(["record", "-M", "pc", "--out", str(out), "--json"]) == ExitCode.OK
    found, kept = json.loads(capsys.readouterr().out), load(out)
    counts = {"files": len(kept.files), "pci": len(kept.pci)}
    assert found == {"out": str(out), "qemu": program().version, **counts}
    assert counts["pci"] >= 3  # the chipset's


def test_a_guest_that_prints_a_stop_line_has_not_stopped() -> None:
    stop = stop_codes.BY_NAME["NO_KERNEL"]
    assert ports.debug_exit_status(stop.code) != ports.debug_exit_status(1)
    assert main(["run", "--append", f"fwbuild: {stop.code:02x} {stop.what}"]) == ExitCode.OK


def test_no_qemu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv(VARIABLE, raising=False)
    assert main(["run"]) == ExitCode.QEMU
    assert "qemu-system-x86" in capsys.readouterr().err


def test_dry_run_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bios, kernel = tmp_path / "bios.bin", tmp_path / "my kernel"
    bios.touch()
    kernel.write_bytes(build_test_kernel())
    arguments = ["run", "--dry-run", "--bios", str(bios), "--kernel", str(kernel)]
    assert main(arguments) == ExitCode.OK
    argv = shlex.split(capsys.readouterr().out)
    assert argv[argv.index("-bios") + 1] == str(bios)
    assert argv[argv.index("-kernel") + 1] == str(kernel)


def test_what_follows_dashes_is_for_qemu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bios, kernel = tmp_path / "bios.bin", tmp_path / "kernel"
    bios.touch()
    kernel.write_bytes(build_test_kernel())
    more = ["-device", "virtio-rng-device", "--", "-S"]
    assert main(["run", str(kernel), "--bios", str(bios), "--dry-run", "--", *more]) == ExitCode.OK
    argv = shlex.split(capsys.readouterr().out)
    assert argv[argv.index("-kernel") + 1] == str(kernel)
    assert argv[argv.index("-device", argv.index("-kernel")) :][: len(more)] == more


def test_show_command(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["run", "--show-command", "--timeout", "60", "--", "-name", "shown"]
    assert main(words) == ExitCode.OK
    shown = shlex.split(capfd.readouterr().err.splitlines()[1])
    assert shown[0].endswith("qemu-system-x86_64")
    assert shown[shown.index("-name") + 1] == "shown"


KINDS: dict[str, Callable[[], bytes]] = {
    "vmlinux": build_test_kernel,
    "Multiboot": build_test_multiboot,
    "bzImage": build_test_bzimage,
}
S3 = {
    ("pc", "vmlinux"): ["PIIX4_PM.disable_s3=1"],
    ("q35", "vmlinux"): ["ICH9-LPC.disable_s3=1"],
    ("microvm", "vmlinux"): [],
    ("pc", "Multiboot"): [],
    ("q35", "bzImage"): [],
}


@pytest.mark.parametrize("machine, kind", S3)
def test_run_lets_no_vmlinux_suspend(
    machine: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bios, kernel = tmp_path / "bios.bin", tmp_path / "kernel"
    bios.touch()
    kernel.write_bytes(KINDS[kind]())
    arguments = ["run", "-M", machine, "--dry-run", "--bios", str(bios), "--kernel", str(kernel)]
    assert main(arguments) == ExitCode.OK
    argv = shlex.split(capsys.readouterr().out)
    assert [b for a, b in itertools.pairwise(argv) if a == "-global"] == S3[machine, kind]
