"""Reboots in every way that a machine has, 20 of each in one QEMU: each boot is the same."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fwbuild.abi import ports
from fwbuild.guest import Guest
from fwbuild.image.build import build_image
from fwbuild.qemu.command import command
from tests.support.rebooting import DONE, LINE, rebooting_bzimage, rebooting_vmlinux
from tests.support.templates import for_kernels

pytestmark = pytest.mark.qemu

TIMES = 20
# microvm has neither keyboard controller nor port 0xcf9; pc's FADT is too old for a reset register
WAYS = {
    "microvm": ("triple fault", "ACPI"),
    "pc": ("triple fault", "keyboard controller", "0xcf9"),
    "q35": ("triple fault", "keyboard controller", "0xcf9", "ACPI"),
}
FORMS: dict[str, Callable[..., bytes]] = {
    "vmlinux": rebooting_vmlinux,
    "bzImage": rebooting_bzimage,
}
# a BAR of 16 GiB, others behind a bridge; all are left decoding
LARGE = (
    "-object", "memory-backend-ram,id=large,size=16G,share=on,reserve=off",
    "-device", "ivshmem-plain,memdev=large", "-device", "pci-bridge,id=b,chassis_nr=1",
    "-device", "virtio-rng-pci,bus=b,addr=1", "-device", "e1000",
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", for_kernels())
@pytest.mark.parametrize("machine", WAYS)
def test_reboots(machine: str, name: str, form: str, tmp_path: Path) -> None:
    bios, kernel, console = (tmp_path / n for n in ("bios.bin", "kernel", "console"))
    bios.write_bytes(build_image(name).image)
    ways = WAYS[machine]
    kernel.write_bytes(FORMS[form](ways, TIMES))
    extra = () if machine == "microvm" else LARGE
    guest = Guest(machine, smp=2, kernel=kernel, append="abc", extra=extra)
    argv = [a for a in command(guest, bios=bios, console=console) if a != "-no-reboot"]
    status = subprocess.run(argv, timeout=100, check=False).returncode
    text = console.read_text()
    assert status == ports.debug_exit_status(DONE), text[-100:]
    assert len(text) == LINE * (len(ways) * TIMES + 1)
    assert len(set(text.split())) == 1, set(text.split())
