"""A guest that hibernates finds the same machine at its next boot, and goes on where it was."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fwbuild.abi import ports
from fwbuild.guest import Guest
from fwbuild.machines import MACHINES
from fwbuild.qemu.command import command
from fwbuild.sizes import MIB
from tests.support import debian
from tests.support.rebooting import DONE, LINE, rebooting_bzimage, rebooting_vmlinux

pytestmark = pytest.mark.qemu

BOOTS = 20
FORMS: dict[str, Callable[..., bytes]] = {
    "vmlinux": rebooting_vmlinux,
    "bzImage": rebooting_bzimage,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("machine", MACHINES)
def test_boots_of_one_command_line(machine: str, form: str, bios: Path, tmp_path: Path) -> None:
    """Memory map, ACPI tables and BARs are the same each time; Linux compares the map."""
    kernel, console = tmp_path / "kernel", tmp_path / "console"
    kernel.write_bytes(FORMS[form]((), 1))
    argv = command(Guest(machine, kernel=kernel, append="abc"), bios=bios, console=console)
    found = set()
    for _ in range(BOOTS):
        status = subprocess.run(argv, timeout=30, check=False).returncode
        assert status == ports.debug_exit_status(DONE)
        found.add(console.read_text())
    assert len(found) == 1
    assert len(found.pop()) == LINE


# The first boot hibernates, the second resumes it: what is in memory tells so.
INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev
for m in /modules/*; do $B insmod $m; done
case "$($B dd if=/dev/vda bs=1 skip=4086 count=9 2>/dev/null)" in
S1SUSPEND) echo "resumes"; $B cat /sys/block/vda/dev > /sys/power/resume; echo "lost" ;;
*) $B mkswap /dev/vda >/dev/null ;;
esac
$B swapon /dev/vda
$B mkdir -p /tmp; $B mount -t tmpfs tmpfs /tmp
$B dd if=/dev/urandom of=/tmp/mark bs=1M count=1 2>/dev/null
sum=$($B sha256sum < /tmp/mark)
echo "mark $sum"
echo 0 > /sys/power/image_size
echo disk > /sys/power/state
[ "$sum" = "$($B sha256sum < /tmp/mark)" ] && echo "goes on with $sum"
echo "cpus $($B grep -c ^processor /proc/cpuinfo)"
$B dmesg | $B grep -E "BUG|WARNING|Oops|memory map changed|hardware signature|[Ff]irmware [Bb]ug"
$B poweroff -f
"""


@pytest.mark.parametrize("machine, form", [("pc", "vmlinux"), ("q35", "vmlinuz")])
def test_hibernate(machine: str, form: str, bios: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(128 * MIB))
    drive = f"if=none,id=d,format=raw,file={disk}"
    guest = Guest(
        machine,
        memory=256 * MIB,
        smp=2,
        kernel=debian.cloud_vmlinuz() if form == "vmlinuz" else debian.cloud_vmlinux(),
        initrd=debian.make_initrd(tmp_path, INIT, modules=debian.cloud_modules()),
        append=debian.append(Guest(machine).family, "quiet"),
        extra=("-drive", drive, "-device", "virtio-blk-pci,drive=d"),
    )
    said = []
    for boot in ("first", "second"):
        serial = tmp_path / f"serial-{boot}"
        argv = [*command(guest, bios=bios), "-serial", f"file:{serial}"]
        subprocess.run(argv, timeout=120, check=True)
        said.append(serial.read_text(errors="replace").replace("\r", ""))
    first, second = said
    mark = re.search(r"^mark (\w+)", first, re.MULTILINE)
    assert mark, first[-3000:]
    assert "goes on" not in first, first[-3000:]
    resumed = rf"^resumes$[^$]*^goes on with {mark[1]}"
    assert re.search(resumed, second, re.MULTILINE), second[-3000:]
    assert "\ncpus 2\n" in second
    assert not re.search(r"lost|BUG|WARNING|Oops|changed|signature|Bug", second), second[-3000:]
