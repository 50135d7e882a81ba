"""bzImages and Multiboot kernels in the emulated machine and in the real one: the same fw_cfg,
the same state."""

from pathlib import Path

import pytest

from fwbuild.abi import linux_boot, multiboot
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator import loader
from fwbuild.emulator.handoff import read_handoff
from fwbuild.emulator.handoff_multiboot import read_multiboot_handoff
from fwbuild.emulator.judge import judge
from fwbuild.emulator.judge_linux import judge_linux
from fwbuild.emulator.judge_linux16 import judge_linux16
from fwbuild.emulator.judge_multiboot import judge_multiboot
from fwbuild.emulator.machine import Machine
from fwbuild.firmware import layout
from fwbuild.guest import MIB, Guest
from fwbuild.image.build import Image
from fwbuild.image.test_kernel import (
    build_test_bzimage,
    build_test_bzimage16,
    build_test_kernel,
    build_test_multiboot,
)
from fwbuild.machines import MACHINES
from fwbuild.qemu.command import command
from fwbuild.qemu.count import count
from fwbuild.qemu.qtest import Qtest
from fwbuild.qemu.record import KERNEL_KEYS, record
from fwbuild.qemu.session import stopped
from tests.support import debian
from tests.support.agreement import REGISTERS, at_entry

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
def test_same_state(name: str, megabytes: int, kernel: Path, image: Image, tmp_path: Path) -> None:
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
def test_same_state_of_an_old_bzimage(name: str, image: Image, tmp_path: Path) -> None:
    bios, initrd, kernel = tmp_path / "bios.bin", tmp_path / "initrd", tmp_path / "kernel"
    bios.write_bytes(image.image)
    initrd.write_bytes(bytes(range(256)) * 4096)
    kernel.write_bytes(build_test_bzimage16(initrd_addr_max=0x17FFFFFF))
    guest = Guest(name, kernel=kernel, initrd=initrd, append="same")
    found = record(guest)
    loaded = loader.load(guest, found)
    assert loaded
    for key in KERNEL_KEYS:
        assert loaded.keys[key] == found.keys[key], Key(key).name
    machine = Machine(image.image, found, loaded, poison=0)
    ours = machine.run()
    assert judge_linux16(machine, ours) == []
    with at_entry(guest, bios, loaded.entry) as stub:
        theirs = stub.registers()
        low = stub.read(0, linux_boot.SETUP_SIZE_MAX)
        services = stub.read(layout.BIOS.base, layout.BIOS.size)
        setup = stub.read(theirs["ds"] << 4, 1024)
    assert {r: theirs[r] for r in REGISTERS} == {r: ours.registers[r] for r in REGISTERS}
    # real mode's hidden parts, which the emulator cannot show
    for segment in ("cs", "ds", "es", "fs", "gs", "ss"):
        hidden = (theirs[f"{segment}_base"], theirs[f"{segment}_limit"])
        assert hidden == (theirs[segment] << 4, 0xFFFF)
    assert low[:0x400] == machine.read(0, 0x400)  # the vectors
    assert services == machine.read(layout.BIOS.base, layout.BIOS.size)
    assert setup == machine.read(ours.registers["ds"] << 4, 1024)


@pytest.mark.parametrize("name", MACHINES)
def test_same_state_of_multiboot(name: str, image: Image, tmp_path: Path) -> None:
    bios, module, kernel = tmp_path / "bios.bin", tmp_path / "module", tmp_path / "kernel"
    bios.write_bytes(image.image)
    module.write_bytes(bytes(range(256)) * 30)
    kernel.write_bytes(build_test_multiboot())
    guest = Guest(name, kernel=kernel, initrd=Path(f"{module} a b,{module}"), append="same")
    found = record(guest)
    loaded = loader.load(guest, found)
    assert loaded
    for key in KERNEL_KEYS:
        assert loaded.keys[key] == found.keys[key], Key(key).name
    with stopped(command(guest), "-qtest") as connection:
        info = Qtest(connection).fw_cfg_read(Key.INITRD_DATA, multiboot.INFO_SIZE_QEMU)
    assert info == loaded.keys[Key.INITRD_DATA]
    machine = Machine(image.image, found, loaded, poison=0)
    ours = machine.run()
    assert judge_multiboot(machine, ours) == []
    with at_entry(guest, bios, loaded.entry) as stub:
        theirs = stub.registers()
        handoff = read_multiboot_handoff(stub.read, theirs["ebx"])
    assert {r: theirs[r] for r in REGISTERS} == {r: ours.registers[r] for r in REGISTERS}
    assert handoff.plain() == read_multiboot_handoff(machine.read, ours.registers["ebx"]).plain()


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


@pytest.mark.parametrize("name", MACHINES)
def test_same_state_of_grub(name: str, image: Image, tmp_path: Path) -> None:
    """GRUB's PVH image, linked at 1 MiB, is entered in the state that the ABI asks for."""
    bios = tmp_path / "bios.bin"
    bios.write_bytes(image.image)
    kernel = debian.package_file("grub-xen-host", "usr/lib/grub-xen/grub-i386-xen_pvh.bin")
    guest = Guest(name, kernel=kernel, append="same")
    found = record(guest)
    loaded = loader.load(guest, found)
    assert loaded
    for key in KERNEL_KEYS:
        assert loaded.keys.get(key, bytes(4)) == found.keys[key], Key(key).name
    machine = Machine(image.image, found, loaded, poison=0)
    ours = machine.run()
    assert judge(machine, ours) == []
    with at_entry(guest, bios, loaded.entry) as stub:
        theirs = stub.registers()
    assert {r: theirs[r] for r in REGISTERS} == {r: ours.registers[r] for r in REGISTERS}


@pytest.mark.parametrize("name", MACHINES)
def test_numbered_modules(name: str, image: Image, tmp_path: Path) -> None:
    """QEMU's option for a user's own files; the kernel finds them behind the initrd."""
    bios, kernel, initrd = (tmp_path / n for n in ("bios.bin", "kernel", "initrd"))
    bios.write_bytes(image.image)
    kernel.write_bytes(build_test_kernel())
    contents = [b"initrd" * 100, b"first" * 2000, b"second"]
    extra: list[str] = []
    for number, content in enumerate(contents):
        path = tmp_path / f"module{number}"
        path.write_bytes(content)
        if number:
            extra += ["-fw_cfg", f"name=opt/fwbuild/module/{number},file={path}"]
    (tmp_path / "module0").rename(initrd)
    guest = Guest(name, kernel=kernel, initrd=initrd, extra=tuple(extra))
    entry = loader.load(guest, record(guest))
    assert entry
    with at_entry(guest, bios, entry.entry) as stub:
        handoff = read_handoff(stub.read, stub.registers()["ebx"])
        assert [stub.read(m.paddr, m.size) for m in handoff.modules] == contents
