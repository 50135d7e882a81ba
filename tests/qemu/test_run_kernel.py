"""`fwbuild run` boots a bzImage as the vmlinux inside it, where that can be."""

import json
import re
import shutil
from pathlib import Path

import pytest

from fwbuild.abi import ports
from fwbuild.cli import main
from fwbuild.errors import ExitCode
from fwbuild.files import data_dir
from fwbuild.guest import Guest
from fwbuild.image.template import DEFAULT
from fwbuild.kernel.vmlinux_cache import VARIABLE
from fwbuild.payloads.test_kernel import build_bzimage
from tests.conftest import need
from tests.support import debian, hobby
from tests.support.bzimages import compress
from tests.support.offered import need_machine
from tests.support.small_kernel import assembled, pvh_kernel

pytestmark = pytest.mark.qemu


def ends_with(value: int) -> str:
    """Code that ends QEMU."""
    return f"mov dx, {ports.DEBUG_EXIT:#x}; mov al, {value}; out dx, al; hlt"


AS_BZIMAGE, AS_VMLINUX = 0x31, 0x32
WORDS = {AS_BZIMAGE: "as a bzImage", AS_VMLINUX: "as the vmlinux inside it, by PVH (taken out in"}


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bzImage that tells which way it was entered."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    code = assembled(ends_with(AS_BZIMAGE))
    payload = compress("gzip", pvh_kernel(ends_with(AS_VMLINUX)))
    at = {"payload_offset": len(code), "payload_length": len(payload)}
    path = tmp_path / "vmlinuz"
    path.write_bytes(build_bzimage(code + payload, **at))
    return path


CASES: dict[str, tuple[list[str], int]] = {
    "by PVH": ([], AS_VMLINUX),
    "told not to": (["--no-pvh"], AS_BZIMAGE),
    "a machine type without PVH": (["-M", "pc-i440fx-3.1"], AS_BZIMAGE),
    "an image without PVH": (["--template", "{tmp}/none.toml"], AS_BZIMAGE),
    "the cache is a file": (["--timeout", "60"], AS_VMLINUX),
}


@pytest.mark.parametrize("name", CASES)
def test_kernel(name: str, kernel: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    more, value = CASES[name]
    if "-M" in more:
        need_machine(Guest(more[1]))
    text = (data_dir("templates") / f"{DEFAULT}.toml").read_text()
    (tmp_path / "none.toml").write_text(text.replace('"pvh", ', ""))
    if name == "the cache is a file":
        (tmp_path / "cache").touch()
    arguments = ["run", str(kernel), *(word.format(tmp=tmp_path) for word in more)]
    assert main([*arguments, "--accel", "tcg"]) == ExitCode.OK
    said = capfd.readouterr().err
    assert f"isa-debug-exit: {value}," in said
    assert ("--no-pvh" in more) or f"fwbuild: {kernel} {WORDS[value]}" in said


def test_what_the_vmlinux_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Unpacking a kernel takes longer than TCG's noise. Each later run says it again."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    argv = ["run", str(debian.cloud_vmlinuz()), "-M", "q35", "--accel", "tcg"]
    assert main([*argv, "--measure-pvh"]) == ExitCode.OK
    said = capfd.readouterr()
    assert "start_kernel" in said.out and "--measure-pvh says what it saves" in said.err
    found = re.findall(r"(as .*|it saves) ?:? ([0-9.]+) s \(([0-9.]+) to ([0-9.]+)\)", said.out)
    ways, times = zip(*((way, float(median)) for way, median, _, _ in found), strict=True)
    assert ways == ("as the vmlinux inside it:", "as a bzImage:", "it saves")
    assert times[0] < times[1]
    assert main([*argv, "--timeout", "0.1"]) == ExitCode.TIMEOUT
    again = capfd.readouterr().err
    assert f"(kept; it saves {found[2][1]} s ({found[2][2]} to {found[2][3]}) on q35" in again


def test_nothing_to_measure(kernel: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A kernel of 32 bits without symbols, one that takes too long, and a vmlinux."""
    assert main(["run", str(kernel), "--measure-pvh", "--accel", "tcg"]) == ExitCode.KERNEL
    assert f"{kernel}: nothing shows where the kernel is unpacked: " in capfd.readouterr().err
    argv = ["run", str(debian.cloud_vmlinuz()), "--measure-pvh", "--timeout", "0.01"]
    assert main([*argv, "--accel", "tcg"]) == ExitCode.UNEXPECTED
    assert "the kernel did not get to linux_" in capfd.readouterr().err
    vmlinux = str(debian.cloud_vmlinux())
    assert main(["run", vmlinux, "--measure-pvh", "--accel", "tcg"]) == ExitCode.USAGE
    assert "is not booted as a vmlinux inside it" in capfd.readouterr().err


def test_what_qemu_refuses(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Debian's gnumach for amd64: a 64-bit ELF file with Multiboot headers, and a module."""
    (tmp_path / "module").write_bytes(b"no script")
    argv = ["run", str(debian.gnumach("amd64-up")), "-M", "pc", "--accel", "tcg", "--timeout", "60"]
    argv += [
        "--initrd",
        f"{tmp_path}/module prog $(task-create)",
        "--append",
        "gnumach console=com0",
    ]
    assert main([*argv, "--expect", "executable module"]) == ExitCode.OK
    said = capfd.readouterr()
    assert "by the firmware's own loader (Multiboot2 specification)" in said.err
    assert "module 0: prog $(task-create)" in said.out


def test_the_test_kernel_on_a_machine_that_loads_no_vmlinux(
    capfd: pytest.CaptureFixture[str],
) -> None:
    need_machine(Guest("pc-i440fx-3.1"))
    assert main(["run", "-M", "pc-i440fx-3.1", "--accel", "tcg", "--timeout", "30"]) == ExitCode.OK
    assert "test kernel: boot_params" in capfd.readouterr().out
    assert main(["verify", "-M", "pc-i440fx-3.1", "--real"]) == ExitCode.OK


@pytest.fixture
def refused(tmp_path: Path) -> Path:
    """A Multiboot 2 kernel that may be moved to the end of RAM."""
    tags = hobby.tag(10, 0x100000, 0xFFFFFFFF, 0x200000, 2)
    return hobby.link(hobby.HEADER2.format(tags=tags), tmp_path)


SAID = "by the firmware's own loader (Multiboot2 specification)"


def test_verify_of_what_qemu_refuses(refused: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["verify", "--real", "--json", "-M", "pc", "--kernel", str(refused), "--append", "a"]
    assert main(words) == ExitCode.OK
    found = capfd.readouterr()
    plain = json.loads(found.out)
    assert (plain["protocol"], plain["problems"]) == ("multiboot2", [])
    assert plain["handoff"]["cmdline"] == "a"
    assert SAID in found.err


def test_cost_of_what_qemu_refuses(
    refused: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An image that loads no kernel is left out; an initrd is a module."""
    (tmp_path / "other.bin").write_bytes(bytes(1 << 16))
    words = ["cost", "--json", "-M", "microvm", "--kernel", str(refused), "--initrd", str(refused)]
    assert main([*words, "--bios", str(tmp_path / "other.bin")]) == ExitCode.OK
    found = capfd.readouterr()
    (row,) = json.loads(found.out)
    assert row["emulated"] == {name: row[name] for name in ("accesses", "instructions")}
    assert SAID in found.err
    assert "other.bin is left out" in found.err


def test_gdb_of_what_qemu_refuses(refused: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if not shutil.which("gdb"):
        need("gdb")
    words = ["gdb", "--batch", "-M", "q35", str(refused), "--at", "multiboot2_enter"]
    assert main([*words, "--ex", "p/x 17"]) == ExitCode.OK
    found = capfd.readouterr()
    assert "multiboot2_enter () at" in found.out
    assert "$1 = 0x11" in found.out
    assert SAID in found.err


def test_every_other_firmware_is_told(
    refused: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It cannot be judged by a kernel that it would never see."""
    (tmp_path / "other.bin").write_bytes(bytes(1 << 16))
    for verb in ("verify", "run", "gdb"):
        words = [verb, "--bios", str(tmp_path / "other.bin"), "--kernel", str(refused)]
        assert main(words) == ExitCode.KERNEL
        said = capfd.readouterr().err.splitlines()[-1]
        assert said.startswith(f"fwbuild: error: {refused}: no PVH ELF note")
        assert "--template universal" in said
