"""bzImages and Multiboot kernels in the emulated machine and in the real one: the same fw_cfg,
the same state."""

from pathlib import Path

import pytest

from fwbuild import protocols
from fwbuild.abi import linux_boot, multiboot
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator.machine import Machine
from fwbuild.firmware import layout
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import (
    build_test_bzimage,
    build_test_bzimage16,
    build_test_kernel,
    build_test_multiboot,
)
from fwbuild.protocols import PVH
from fwbuild.qemu.command import command
from fwbuild.qemu.count import count
from fwbuild.qemu.qtest import Qtest
from fwbuild.qemu.record import record
from fwbuild.qemu.session import stopped
from fwbuild.sizes import MIB
from tests.support import debian
from tests.support.booted import booted

pytestmark = [pytest.mark.qemu, pytest.mark.versions]


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
    initrd = tmp_path / "initrd"
    initrd.write_bytes(bytes(range(256)) * 4096)
    guest = Guest(name, megabytes * MIB, kernel=kernel, initrd=initrd, append="same vga=ask")
    page = linux_boot.BOOT_PARAMS.sizeof()
    with booted(guest, image, tmp_path) as pair:
        pair.agree()
        machine, at = pair.machine, pair.real.registers["esi"]
        assert pair.stub.read(at, page) == machine.read(at, page)
    assert machine.loaded
    keys = machine.loaded.keys
    with stopped(command(guest), "-qtest") as connection:
        qtest = Qtest(connection)
        for key in (Key.SETUP_DATA, Key.CMDLINE_DATA):
            assert qtest.fw_cfg_read(key, len(keys[key])) == keys[key]
        start = keys[Key.KERNEL_DATA][:4096]
        assert qtest.fw_cfg_read(Key.KERNEL_DATA, len(start)) == start


@pytest.mark.parametrize("name", MACHINES)
def test_same_state_of_an_old_bzimage(name: str, image: Image, tmp_path: Path) -> None:
    initrd, kernel = tmp_path / "initrd", tmp_path / "kernel"
    initrd.write_bytes(bytes(range(256)) * 4096)
    kernel.write_bytes(build_test_bzimage16(initrd_addr_max=0x17FFFFFF))
    guest = Guest(name, kernel=kernel, initrd=initrd, append="same")
    with booted(guest, image, tmp_path) as pair:
        pair.agree()
        machine, theirs = pair.machine, pair.real.registers
        setup = theirs["ds"] << 4
        vectors = (0, 0x400)
        for place in (vectors, (layout.BIOS.base, layout.BIOS.size), (setup, 1024)):
            assert pair.stub.read(*place) == machine.read(*place)


@pytest.mark.parametrize("name", MACHINES)
def test_same_state_of_multiboot(name: str, image: Image, tmp_path: Path) -> None:
    module, kernel = tmp_path / "module", tmp_path / "kernel"
    module.write_bytes(bytes(range(256)) * 30)
    kernel.write_bytes(build_test_multiboot())
    guest = Guest(name, kernel=kernel, initrd=Path(f"{module} a b,{module}"), append="same")
    with booted(guest, image, tmp_path) as pair:
        pair.agree()
        assert pair.machine.loaded
        wanted = pair.machine.loaded.keys[Key.INITRD_DATA]
    with stopped(command(guest), "-qtest") as connection:
        info = Qtest(connection).fw_cfg_read(Key.INITRD_DATA, multiboot.INFO_SIZE_QEMU)
    assert info == wanted


@pytest.mark.parametrize("name", MACHINES)
def test_same_counts(name: str, image: Image, bios: Path, tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(build_test_bzimage())
    guest = Guest(name, kernel=kernel)
    found = record(guest)
    loaded = protocols.load(guest, found)
    assert loaded
    outcome = Machine(image.image, found, loaded).run()
    real = count(guest, bios, loaded.entry)
    assert (real.accesses, real.instructions) == (len(outcome.accesses), outcome.instructions)


@pytest.mark.parametrize("name", MACHINES)
def test_same_state_of_grub(name: str, image: Image, tmp_path: Path) -> None:
    """GRUB's PVH image, linked at 1 MiB, is entered in the state that the ABI asks for."""
    kernel = debian.package_file("grub-xen-host", "usr/lib/grub-xen/grub-i386-xen_pvh.bin")
    with booted(Guest(name, kernel=kernel, append="same"), image, tmp_path) as pair:
        pair.agree()


@pytest.mark.parametrize("name", MACHINES)
def test_numbered_modules(name: str, image: Image, tmp_path: Path) -> None:
    """QEMU's option for a user's own files; the kernel finds them behind the initrd."""
    kernel, initrd = tmp_path / "kernel", tmp_path / "initrd"
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
    with booted(guest, image, tmp_path) as pair:
        modules = PVH.read(pair.real).modules
        assert [pair.stub.read(m.paddr, m.size) for m in modules] == contents


@pytest.mark.parametrize("name", MACHINES)
def test_same_state_of_a_kernel_that_ends_within_a_page(
    name: str, image: Image, tmp_path: Path
) -> None:
    """GRUB for coreboot, by its Multiboot header: low, and what follows its bss is of QEMU's
    heap."""
    kernel = debian.package_file("grub-coreboot-bin", "usr/lib/grub/i386-coreboot/kernel.img")
    with booted(Guest(name, kernel=kernel, append="a"), image, tmp_path) as pair:
        pair.agree()
