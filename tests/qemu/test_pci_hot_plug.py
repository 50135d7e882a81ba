"""A device that is plugged into a running guest's empty port gets addresses."""

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.qemu.command import command
from fwbuild.qemu.session import stopped
from tests.support import debian
from tests.support.pci_guests import devices
from tests.support.pci_linux import SHOW, Linux

pytestmark = pytest.mark.qemu

# Empty ports: on the main root bus, on an extra one, and behind a switch on an extra one.
PORTS = ("one", "two", "three")
GUEST = Guest("q35", extra=devices(
    "pcie-root-port,id=one,bus=pcie.0,addr=2,chassis=1",
    "pxb-pcie,id=far,bus=pcie.0,addr=4,bus_nr=64",
    "pcie-root-port,id=two,bus=far,addr=0,chassis=2",
    "pcie-root-port,id=four,bus=far,addr=1,chassis=4",
    "x3130-upstream,id=up,bus=four",
    "xio3130-downstream,id=three,bus=up,addr=0,chassis=3",
))  # fmt: skip
PLUGGED = r"pci 0000:(\S+): \[1af4:1044\]"  # a virtio-rng-pci in an express port
BARS = (1, 4)  # its memory
INIT = f"""#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
echo "ready for devices"
for i in $($B seq 300); do
    [ $($B grep -l 0x1044 /sys/bus/pci/devices/*/device | $B wc -l) = {len(PORTS)} ] && break
    $B sleep 0.1
done
$B sleep 1  # a function is there before it has addresses
{SHOW}
echo "userspace is done"
$B poweroff -f
"""
SECONDS = 200


def test_hot_plug(image: Image, tmp_path: Path) -> None:
    bios, serial = tmp_path / "bios.bin", tmp_path / "serial"
    bios.write_bytes(image.image)
    guest = replace(GUEST, kernel=debian.cloud_vmlinux(), append="console=ttyS0 reboot=t panic=-1",
                    initrd=debian.make_initrd(tmp_path, INIT))  # fmt: skip
    argv = [*command(guest, bios=bios), "-icount", "shift=auto", "-serial", f"file:{serial}"]
    with stopped(argv, "-monitor", SECONDS) as connection:
        connection.sendall(b"cont\n")
        end = time.monotonic() + SECONDS
        while "ready for devices" not in (serial.read_text() if serial.exists() else ""):
            assert time.monotonic() < end
            time.sleep(0.1)
        for port in PORTS:
            connection.sendall(f"device_add virtio-rng-pci,bus={port}\n".encode())
        while connection.recv(1024):  # until QEMU ends
            pass
    text = serial.read_text(errors="replace").replace("\r", "")
    assert "userspace is done" in text, text[-3000:]
    functions = set(re.findall(PLUGGED, text))
    assert len(functions) == len(PORTS)
    resources = Linux.parse(text).resources
    assert [(name, n) for name in functions for n in BARS if n not in resources[name]] == []
