"""Devices that are plugged into a running guest's bridges and ports get addresses."""

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fwbuild.qemu.command import command
from fwbuild.qemu.session import stopped
from tests.support import debian
from tests.support.matrix import Stanza, stanzas
from tests.support.pci_linux import ROM, SHOW, Linux

pytestmark = pytest.mark.qemu

CASES = {name: case for name, case in stanzas().items() if case.plug}
SEABIOS = "bios-256k.bin"
READY = "functions: "
INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
set -- /sys/bus/pci/devices/*
all=$(($# + {count}))
old=0
while [ $old != $all ]; do
    set -- /sys/bus/pci/devices/*
    [ $# = $old ] || echo "{ready}$#"
    old=$#
    $B sleep 0.1
    {rescan}
done
$B sleep 1  # a function is there before it has addresses
{show}
echo "userspace is done"
$B poweroff -f
"""
SECONDS = 200


def found(text: str) -> Iterator[tuple[str, int]]:
    """(function, number) of each BAR that Linux finds, but ROMs. It names a BAR by its register,
    and since 6.9 by its number."""
    for name, register in re.findall(r"pci 0000:(\S+): reg 0x(\w\w): \[", text):
        if (number := (int(register, 16) - 0x10) // 4) < ROM:
            yield name, number
    for name, number in re.findall(r"pci 0000:(\S+): BAR (\d) \[", text):
        yield name, int(number)


class Guest:
    """A Linux that prints how many PCI functions it has whenever that changes."""

    def __init__(self, connection: socket.socket, serial: Path) -> None:
        self.connection, self.serial = connection, serial
        self.end = time.monotonic() + SECONDS

    def text(self) -> str:
        if not self.serial.exists():
            return ""
        return self.serial.read_text(errors="replace").replace("\r", "")

    def count(self) -> int:
        """The functions that it has said last, 0 before the first."""
        return int(["0", *re.findall(rf"^{READY}(\d+)$", self.text(), re.MULTILINE)][-1])

    def wait_for(self, count: int) -> None:
        while self.count() < count:
            assert time.monotonic() < self.end, self.text()[-3000:]
            time.sleep(0.1)

    def plug(self, device: str) -> None:
        """Add a device and wait until Linux has it."""
        before = self.count()
        self.connection.sendall(f"device_add {device}\n".encode())
        self.wait_for(before + 1)


def lost(case: Stanza, kernel: str, bios: Path | str, folder: Path) -> list[tuple[str, int]]:
    """The BARs of what is plugged that Linux has no address for."""
    serial = folder / "serial"
    rescan = "echo 1 > /sys/bus/pci/rescan" if case.rescan else ""
    script = INIT.format(count=len(case.plug), ready=READY, show=SHOW, rescan=rescan)
    guest = case.guest(
        kernel=debian.vmlinuz(kernel),
        append=debian.append(case.guest().family),
        initrd=debian.make_initrd(folder, script),
    )
    argv = [*command(guest), "-bios", str(bios), "-serial", f"file:{serial}"]
    with stopped(argv, "-monitor", SECONDS) as connection:
        running = Guest(connection, serial)
        connection.sendall(b"cont\n")
        running.wait_for(1)
        at_boot = len(running.text())
        for device in case.plug:
            running.plug(device)
        while connection.recv(1024):  # until QEMU ends
            pass
    text = running.text()
    assert "userspace is done" in text, text[-3000:]
    resources = Linux.parse(text).resources
    bars = sorted(set(found(text[at_boot:])))
    assert bars
    return [(name, number) for name, number in bars if number not in resources[name]]


CASES_AND_KERNELS = [(name, kernel) for name, case in CASES.items() for kernel in case.kernels]


@pytest.mark.parametrize("name, kernel", CASES_AND_KERNELS)
def test_hot_plug(name: str, kernel: str, bios: Path, tmp_path: Path) -> None:
    assert lost(CASES[name], kernel, bios, tmp_path) == []


@pytest.mark.parametrize("name", CASES)
def test_seabios_gives_them_too(name: str, tmp_path: Path) -> None:
    """SeaBIOS passes each case on this QEMU, so a failure of ours is our own. One kernel says so as
    well as three."""
    assert lost(CASES[name], CASES[name].kernels[0], SEABIOS, tmp_path) == []
