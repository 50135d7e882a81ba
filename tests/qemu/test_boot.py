"""Real QEMU: the test kernel, and Debian's kernel to userspace."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from fwbuild.abi import ports, stop_codes
from fwbuild.guest import MACHINES, MIB, Guest
from fwbuild.image.build import build_image
from fwbuild.qemu.command import command
from tests.support import debian
from tests.support.kvm import kvm_works

pytestmark = pytest.mark.qemu

INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo "userspace: $(/bin/busybox grep -c ^processor /proc/cpuinfo) CPU"
echo "userspace: $(/bin/busybox grep MemTotal /proc/meminfo)"
echo "userspace: cmdline $(/bin/busybox cat /proc/cmdline)"
/bin/busybox reboot -f
"""
CMDLINE = "console=ttyS0 reboot=t panic=-1"


def boot(guest: Guest, folder: Path, template: str = "universal",
         seconds: float = 120) -> tuple[int, str, str]:  # fmt: skip
    """(QEMU's exit status, serial text, debug console text)."""
    bios, console, serial = folder / "bios.bin", folder / "console", folder / "serial"
    bios.write_bytes(build_image(template).image)
    argv = [*command(guest, bios=bios, console=console), "-serial", f"file:{serial}"]
    process = subprocess.run(argv, timeout=seconds, capture_output=True, check=False)
    return process.returncode, serial.read_text(errors="replace"), console.read_text()


@pytest.mark.parametrize("accel", ["tcg", pytest.param("kvm", marks=pytest.mark.kvm)])
@pytest.mark.parametrize("name", MACHINES)
def test_test_kernel(name: str, accel: str, tmp_path: Path, test_kernel: bytes) -> None:
    if accel == "kvm" and not kvm_works():
        pytest.skip("no usable /dev/kvm")
    kernel = tmp_path / "kernel"
    kernel.write_bytes(test_kernel)
    guest = Guest(name, 128 * MIB, kernel=kernel, append="from QEMU", accel=accel)
    status, serial, console = boot(guest, tmp_path)
    assert status == ports.debug_exit_status(1), console
    assert "cmdline from QEMU\n" in console
    assert serial == console


@pytest.mark.parametrize("dma", [True, False])
@pytest.mark.parametrize("template", ["universal", "linux"])
@pytest.mark.parametrize("name", MACHINES)
def test_debian_to_userspace(name: str, template: str, dma: bool, tmp_path: Path) -> None:
    if not dma and (name == "microvm" or template == "linux"):
        pytest.skip("one case shows it: microvm's fw_cfg always has DMA")
    guest = Guest(
        name,
        256 * MIB,
        kernel=debian.cloud_vmlinux(),
        initrd=debian.make_initrd(tmp_path, INIT),
        append=CMDLINE,
        # without it a kernel on microvm often finds its clock unstable under TCG
        extra=("-icount", "shift=auto") + (() if dma else ("-global", "fw_cfg_io.dma_enabled=off")),
    )
    status, serial, console = boot(guest, tmp_path, template)
    assert status == 0, serial[-2000:]
    assert console == ""
    assert "userspace: 1 CPU" in serial
    memory = re.search(r"userspace: MemTotal: +(\d+) kB", serial)
    assert memory and 200_000 < int(memory[1]) <= 256 << 10
    assert f"userspace: cmdline {CMDLINE}" in serial
    assert "x86/PAT: Configuration [0-7]: WB  WC  UC- UC  WB  WP  UC- WT" in serial


STOPS = {
    "no kernel": ("NO_KERNEL", Guest()),
    "no kernel at all": ("KERNEL_KIND", Guest("pc", append="a")),
    "too little memory": ("KERNEL_RANGE", Guest("q35", 24 * MIB)),
}


@pytest.mark.parametrize("case", STOPS)
def test_stops(case: str, tmp_path: Path) -> None:
    name, guest = STOPS[case]
    if case == "no kernel at all":
        guest = replace(guest, kernel=tmp_path / "zeros")
        (tmp_path / "zeros").write_bytes(bytes(8192))
    elif case != "no kernel":
        guest = replace(guest, kernel=debian.cloud_vmlinux())
    status, serial, console = boot(guest, tmp_path)
    stop = stop_codes.BY_NAME[name]
    assert status == ports.debug_exit_status(stop.code)
    assert console.startswith(f"fwbuild: {stop.code:02x} {stop.what} ")
    assert serial == console
