"""Images that never enter a kernel, and a QEMU without KVM: each verb says so, in its time."""

from pathlib import Path

import pytest
from keystone import KS_MODE_16

from fwbuild.abi import ports
from fwbuild.bench import devices
from fwbuild.cli import main
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware.layout import IMAGE_SIZE
from fwbuild.guest import Guest
from fwbuild.qemu import entry
from fwbuild.qemu.program import program
from tests.support.small_kernel import assembled

WITHOUT_KVM = """#!/bin/sh
case "$*" in *"-accel kvm"*) echo "qemu: invalid accelerator kvm" >&2; exit 1;; esac
exec {qemu} "$@"
"""

pytestmark = pytest.mark.qemu


def image_of(source: str, folder: Path) -> Path:
    """An image of a reset vector alone."""
    code = assembled(source, KS_MODE_16)
    path = folder / "bios.bin"
    path.write_bytes((bytes(IMAGE_SIZE - 16) + code).ljust(IMAGE_SIZE, b"\0"))
    return path


def test_the_kernel_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "SECONDS", 1)
    with (
        pytest.raises(FwbuildError, match="was not entered within 1 s") as caught,
        entry.at_entry(Guest(), image_of("here: jmp here", tmp_path), 0x100000),
    ):
        pass
    assert caught.value.code == ExitCode.JUDGEMENT


def test_the_test_kernel_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What it says of itself is no test kernel's."""
    bios = image_of(f"mov dx, {ports.DEBUG_EXIT:#x}; mov al, 9; out dx, al; hlt", tmp_path)
    assert main(["run", "--bios", str(bios), "--accel", "tcg"]) == ExitCode.QEMU
    assert "error: the test kernel failed: the guest wrote" in capfd.readouterr().err


def test_a_trace_without_an_end(tmp_path: Path) -> None:
    with pytest.raises(FwbuildError, match="device accesses: nothing more came in time") as caught:
        devices.accesses(Guest(), image_of("here: jmp here", tmp_path), 1, None)
    assert caught.value.code == ExitCode.QEMU


@pytest.mark.parametrize("accel", ["kvm", "auto"])
def test_a_bench_where_qemu_has_no_kvm(
    accel: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], test_kernel: bytes
) -> None:
    """It is told, or TCG is measured."""
    qemu, kernel = tmp_path / "qemu", tmp_path / "kernel"
    qemu.write_text(WITHOUT_KVM.format(qemu=program().path))
    qemu.chmod(0o755)
    kernel.write_bytes(test_kernel)
    argv = ["bench", "--accel", accel, "--qemu", str(qemu), "--kernel", str(kernel), "-M", "pc"]
    argv += ["--to", "fw_do_boot", "--runs", "1", "--no-peers", "--no-counts"]
    status = main([*argv, "--out", str(tmp_path / "out")])
    said = capfd.readouterr()
    if accel == "auto":
        assert status == ExitCode.OK
        assert "TCG" in said.out
    else:
        assert status == ExitCode.QEMU
        assert "KVM does not work here: QEMU " in said.err and "use --accel tcg" in said.err
