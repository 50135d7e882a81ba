"""A unified kernel image made from systemd's stub boots in its parts."""

import re
from pathlib import Path

import pytest

from fwbuild import machines
from fwbuild.abi import ports
from fwbuild.cli import main
from fwbuild.errors import ExitCode
from fwbuild.kernel.uki import parse_efi
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import build_test_bzimage
from tests.support import debian
from tests.support.ukis import make_uki

pytestmark = pytest.mark.qemu


def test_a_uki_boots(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    parts = {
        ".osrel": b'PRETTY_NAME="Test 1"\n',
        ".cmdline": b"of the UKI",
        ".initrd": b"i" * 5000,
        ".linux": build_test_bzimage(),
    }
    path = make_uki(tmp_path, parts)
    assert parse_efi(path.read_bytes()).parts == parts
    assert main(["run", str(path), "--accel", "tcg", "--guest-status"]) == 1
    said = capfd.readouterr()
    assert "cmdline of the UKI" in said.out
    assert f"status {ports.debug_exit_status(1)}" in said.err
    assert "in its parts: Test 1, with 'of the UKI'" in said.err
    told = [line for line in said.err.splitlines() if "bzImage" in line]
    assert told and all(line.startswith(f"fwbuild: {path} ") for line in told), said.err


def test_a_dry_run_has_no_files_of_its_own(
    tmp_path: Path, bios: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The parts of a UKI are gone after it."""
    path = make_uki(tmp_path, {".linux": build_test_bzimage()})
    argv = ["run", str(path), "--bios", str(bios), "--dry-run", "--accel", "tcg"]
    assert main(argv) == ExitCode.USAGE
    assert "--dry-run of files that are made for one run" in capfd.readouterr().err


def test_the_stub_alone_is_no_kernel(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = make_uki(tmp_path, {".osrel": b"ID=x"})
    assert main(["run", str(path)]) == ExitCode.KERNEL
    assert "without a kernel in it" in capfd.readouterr().err


SCRIPT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo "uki $(/bin/busybox uname -r): $(/bin/busybox cat /proc/cmdline)"
/bin/busybox sleep 60
"""


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("pvh", [True, False], ids=["pvh", "bzImage"])
def test_linux_in_a_uki(
    machine: str, pvh: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Debian's kernel gets to its first program, with the command line and initrd of the file."""
    kernel = debian.cloud_vmlinuz()
    words = debian.append(machines.of(machine), "of=the-uki")
    parts = {
        ".osrel": b'PRETTY_NAME="Debian"\n',
        ".uname": kernel.name.removeprefix("vmlinuz-").encode(),
        ".cmdline": words.encode(),
        ".initrd": debian.make_initrd(tmp_path, SCRIPT).read_bytes(),
        ".linux": kernel.read_bytes(),
    }
    path = make_uki(tmp_path, parts)
    arguments = ["run", str(path), "-M", machine, "--accel", "tcg", "--timeout", "60"]
    expected = f"uki {parts['.uname'].decode()}: {words}"
    arguments += ["--expect", f"^{re.escape(expected)}", *([] if pvh else ["--no-pvh"])]
    assert main(arguments) == ExitCode.OK, capfd.readouterr()
