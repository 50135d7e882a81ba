"""The emulated machine against the real one: the same state, the same counts, the same fw_cfg."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from fwbuild import protocols
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.guest import Guest
from fwbuild.image import artefacts
from fwbuild.image.build import Image
from fwbuild.machines import MACHINES
from fwbuild.qemu.command import command
from fwbuild.qemu.count import count
from fwbuild.qemu.program import program
from fwbuild.qemu.qtest import Qtest
from fwbuild.qemu.record import record
from fwbuild.qemu.rerecord import guest_of
from fwbuild.qemu.session import stopped
from fwbuild.sizes import MIB
from tests.conftest import need
from tests.support import debian
from tests.support.agreement import compare
from tests.support.kvm import need_accel

pytestmark = [pytest.mark.qemu, pytest.mark.versions]


@pytest.fixture(params=["test kernel", "Debian"])
def kernel(request: pytest.FixtureRequest, tmp_path: Path, test_kernel: bytes) -> Path:
    if request.param == "Debian":
        return debian.cloud_vmlinux()
    path = tmp_path / "kernel"
    path.write_bytes(test_kernel)
    return path


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("megabytes", [512, 6144])
@pytest.mark.parametrize("accel", ["tcg", pytest.param("kvm", marks=pytest.mark.kvm)])
def test_same_state(
    name: str, megabytes: int, accel: str, kernel: Path, image: Image, tmp_path: Path
) -> None:
    need_accel(accel)
    initrd = tmp_path / "initrd"
    initrd.write_bytes(bytes(range(256)) * 4096)
    guest = Guest(
        name, megabytes * MIB, kernel=kernel, initrd=initrd, append="same state", accel=accel
    )
    compare(guest, image, tmp_path)


@pytest.mark.parametrize("name", MACHINES)
def test_same_counts(
    name: str, image: Image, bios: Path, tmp_path: Path, test_kernel: bytes
) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(test_kernel)
    guest = Guest(name, kernel=kernel)
    found = record(guest)
    loaded = protocols.load(guest, found)
    assert loaded
    outcome = Machine(image.image, found, loaded).run()
    assert outcome.repeats  # of which QEMUs count a different part
    real = count(guest, bios, loaded.entry)
    assert (real.accesses, real.instructions) == (len(outcome.accesses), outcome.instructions)


RECORDINGS = sorted({path.name for path in recording.packaged()})


@pytest.mark.parametrize("name", RECORDINGS)
def test_recordings_are_what_qemu_offers(name: str) -> None:
    path = recording.PACKAGED / recording.series(program().version) / name
    if not path.exists():
        pytest.skip(f"nothing is recorded of QEMU {program().version}")
    kept = recording.load(path)
    need_accel(kept.accel)
    if kept.qemu != program().version:
        pytest.skip(f"recorded with QEMU {kept.qemu}")
    live = record(guest_of(kept))
    assert [(f.name, f.size) for f in live.files] == [(f.name, f.size) for f in kept.files]
    for theirs, ours in zip(live.files, kept.files, strict=True):
        assert theirs == ours, ours.name
    assert live.keys == kept.keys
    assert live.pci == kept.pci
    assert live.cmos == kept.cmos


def test_dma_and_data_port_agree() -> None:
    with stopped(command(Guest("pc")), "-qtest") as connection:
        qtest = Qtest(connection)
        for key in (Key.SIGNATURE, Key.ID, Key.FILE_DIR):
            assert qtest.fw_cfg_read(key, 600) == qtest.fw_cfg_read_bytes(key, 600)
        assert qtest.fw_cfg_read(Key.SIGNATURE, 6) == b"QEMU\0\0"


def test_gdb_breaks_by_name(image: Image, tmp_path: Path) -> None:
    """The command that the README gives."""
    if not shutil.which("gdb"):
        need("gdb")
    artefacts.write(image, tmp_path / "bios.bin")
    socket = tmp_path / "gdb"
    argv = [
        *command(Guest("pc"), bios=tmp_path / "bios.bin"),
        "-S",
        "-gdb",
        f"unix:{socket},server=on,wait=off",
    ]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as qemu:
        try:
            while not socket.exists() and qemu.poll() is None:
                time.sleep(0.02)
            commands = (
                "set architecture i386:x86-64",
                f"target remote {socket}",
                "hbreak *memmap_build",
                "continue",
                "info symbol $pc",
            )
            options = [word for line in commands for word in ("-ex", line)]
            done = subprocess.run(
                ["gdb", "-nx", "-batch", *options, tmp_path / "bios.elf"],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
        finally:
            qemu.kill()
    assert "memmap_build in section .text" in done.stdout
