"""A device that is plugged into a running guest's empty port gets addresses."""

import re
import time
from pathlib import Path

import pytest

from fwbuild.image.build import Image
from fwbuild.qemu.command import command
from fwbuild.qemu.session import stopped
from tests.support import debian
from tests.support.matrix import stanzas
from tests.support.pci_linux import SHOW, Linux

pytestmark = pytest.mark.qemu

CASES = {name: case for name, case in stanzas().items() if case.plug}
PLUGGED = r"pci 0000:(\S+): \[1af4:1044\]"  # a virtio-rng-pci in an express port
BARS = (1, 4)  # its memory
INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
echo "ready for devices"
for i in $($B seq 300); do
    [ $($B grep -l 0x1044 /sys/bus/pci/devices/*/device | $B wc -l) = {count} ] && break
    $B sleep 0.1
done
$B sleep 1  # a function is there before it has addresses
{show}
echo "userspace is done"
$B poweroff -f
"""
SECONDS = 200


@pytest.mark.parametrize("name", CASES)
def test_hot_plug(name: str, image: Image, tmp_path: Path) -> None:
    bios, serial = tmp_path / "bios.bin", tmp_path / "serial"
    bios.write_bytes(image.image)
    case = CASES[name]
    script = INIT.format(count=len(case.plug), show=SHOW)
    guest = case.guest(
        kernel=debian.cloud_vmlinux(),
        append="console=ttyS0 reboot=t panic=-1",
        initrd=debian.make_initrd(tmp_path, script),
    )
    argv = [*command(guest, bios=bios), "-icount", "shift=auto", "-serial", f"file:{serial}"]
    with stopped(argv, "-monitor", SECONDS) as connection:
        connection.sendall(b"cont\n")
        end = time.monotonic() + SECONDS
        while "ready for devices" not in (serial.read_text() if serial.exists() else ""):
            assert time.monotonic() < end
            time.sleep(0.1)
        for port in case.plug:
            connection.sendall(f"device_add virtio-rng-pci,bus={port}\n".encode())
        while connection.recv(1024):  # until QEMU ends
            pass
    text = serial.read_text(errors="replace").replace("\r", "")
    assert "userspace is done" in text, text[-3000:]
    functions = set(re.findall(PLUGGED, text))
    assert len(functions) == len(case.plug)
    resources = Linux.parse(text).resources
    assert [(name, n) for name in functions for n in BARS if n not in resources[name]] == []
