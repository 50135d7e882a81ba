"""bzImages in the emulated machine and in the real one: the same fw_cfg, the same state."""

from pathlib import Path

import pytest

from fwbuild.abi import linux_boot
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator import loader
from fwbuild.emulator.judge_linux import judge_linux
from fwbuild.emulator.machine import Machine
from fwbuild.guest import MACHINES, MIB, Guest
from fwbuild.image.build import Image
from fwbuild.image.test_kernel import build_test_bzimage
from fwbuild.qemu.command import command
from fwbuild.qemu.count import count
from fwbuild.qemu.qtest import Qtest
from fwbuild.qemu.record import KERNEL_KEYS, record
from fwbuild.qemu.session import stopped
from tests.qemu.test_agreement import REGISTERS, at_entry
from tests.support import debian

pytestmark = pytest.mark.qemu


@pytest.fixture(params=["test kernel", "low initrd", "Debian"])
def kernel(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "Debian":
        return debian.cloud_vmlinuz()
    path = tmp_path / "kernel"
    fields = {"initrd_addr_max": 0x17FFFFFF} if request.param == "low initrd" else {}
    path.write_bytes(build_test_bzimage(**fields))
    return path


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("megabytes", [512, 6144])
def test_same_state(
    name: str, megabytes: int, kernel: Path, image: Image, tmp_path: Path
) -> None:
    bios, initrd = tmp_path / "bios.bin", tmp_path / "initrd"
    bios.write_bytes(image.image)
    initrd.write_bytes(bytes(range(256)) * 4096)
    guest = Guest(name, megabytes * MIB, kernel=kernel, initrd=initrd, append="same vga=ask")
    found = record(guest)
    loaded = loader.load(guest, found)
    assert loaded
    for key in KERNEL_KEYS:
        assert loaded.keys[key] == found.keys[key], Key(key).name
    with stopped(command(guest), "-qtest") as connection:
        qtest = Qtest(connection)
        for key in (Key.SETUP_DATA, Key.CMDLINE_DATA):
            assert qtest.fw_cfg_read(key, len(loaded.keys[key])) == loaded.keys[key]
        start = loaded.keys[Key.KERNEL_DATA][:4096]
        assert qtest.fw_cfg_read(Key.KERNEL_DATA, len(start)) == start
    machine = Machine(image.image, found, loaded, poison=0)
    ours = machine.run()
    assert judge_linux(machine, ours) == []
    page = linux_boot.BOOT_PARAMS.sizeof()
    with at_entry(guest, bios, loaded.entry) as stub:
        theirs = stub.registers()
        params = stub.read(theirs["esi"], page)
    assert {r: theirs[r] for r in REGISTERS} == {r: ours.registers[r] for r in REGISTERS}
    assert params == machine.read(ours.registers["esi"], page)


@pytest.mark.parametrize("name", MACHINES)
def test_same_counts(name: str, image: Image, tmp_path: Path) -> None:
    bios, kernel = tmp_path / "bios.bin", tmp_path / "kernel"
    bios.write_bytes(image.image)
    kernel.write_bytes(build_test_bzimage())
    guest = Guest(name, kernel=kernel)
    found = record(guest)
    loaded = loader.load(guest, found)
    assert loaded
    outcome = Machine(image.image, found, loaded).run()
    real = count(guest, bios, loaded.entry)
    assert (real.accesses, real.instructions) == (len(outcome.accesses), outcome.instructions)
