"""PCI as the firmware leaves it, in QEMU: as in the emulator, and as Linux wants it."""

import re
import subprocess
from pathlib import Path

import pytest

from fwbuild.abi import pci
from fwbuild.emulator import loader
from fwbuild.emulator.machine import Machine
from fwbuild.guest import Guest
from fwbuild.image.build import Image, build_image
from fwbuild.qemu.command import command
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.record import record
from fwbuild.qemu.session import stopped
from tests.support import debian
from tests.support.pci_guests import GUESTS, MORE_GUESTS
from tests.support.pci_judge import buses, complaints, unassigned

pytestmark = pytest.mark.qemu

SETUP = {n: g for n, g in (GUESTS | MORE_GUESTS).items() if "microvm" not in n}
# The only BARs that no address fits: I/O behind a port that has no I/O window.
WITHOUT_IO = {"q35 with old bridges": 1}


def configuration(stub: GdbStub, bus: int, devfn: int) -> bytes:
    """The 256 bytes of a function, by the monitor's port accesses."""
    data = b""
    for at in range(0, pci.CONFIG_SIZE, 4):
        address = pci.CONFIG_ENABLE | bus << 16 | devfn << 8 | at
        stub.monitor(f"o /w {pci.CONFIG_ADDRESS:#x} {address:#x}")
        text = stub.monitor(f"i /w {pci.CONFIG_DATA:#x}")
        data += int(text.rpartition("=")[2], 16).to_bytes(4, "little")
    return data


@pytest.mark.parametrize("name", SETUP)
def test_same_setup(name: str, image: Image, tmp_path: Path, test_kernel: bytes) -> None:
    """Every function has what it needs, and QEMU's registers are the emulator's."""
    bios, kernel = tmp_path / "bios.bin", tmp_path / "kernel"
    bios.write_bytes(image.image)
    kernel.write_bytes(test_kernel)
    guest: Guest = SETUP[name]
    guest = Guest(guest.machine, guest.memory, guest.smp, kernel, extra=guest.extra)
    found = record(guest)
    loaded = loader.load(guest, found)
    assert loaded
    machine = Machine(image.image, found, loaded)
    assert machine.run().kind == "handoff", machine.outcome.console
    assert complaints(machine) == []
    assert len(unassigned(machine)) == WITHOUT_IO.get(name, 0)
    with stopped(command(guest, bios=bios), "-gdb", 60) as connection:
        stub = GdbStub(connection)
        stub.run_to(loaded.entry)
        for bus in buses(machine):
            for devfn, function in bus.functions.items():
                where = f"{bus.number:02x}:{devfn >> 3:02x}.{devfn & 7}"
                real = configuration(stub, bus.number, devfn)
                ours = bytes(function.config[: pci.CONFIG_SIZE])
                wrong = {hex(i): (real[i], ours[i]) for i in range(len(real)) if real[i] != ours[i]}
                assert not wrong, f"{where}: (QEMU, emulator) {wrong}"


INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
for m in /modules/*; do $B insmod $m; done
for d in /sys/bus/pci/devices/*; do echo "pci ${d##*/} $($B cat $d/irq)"; done
for d in /sys/block/vd*; do [ -e $d ] && echo "disk ${d##*/} $($B cat $d/size)"; done
for d in /sys/class/net/*; do echo "net ${d##*/} $($B cat $d/address)"; done
echo "userspace is done"
$B poweroff -f
"""
# What Linux says of an address that it does not want.
TROUBLE = re.compile(r"can't claim|failed to assign|no space for|no compatible bridge window|"
                     r"[Ff]irmware [Bb]ug|bogus|conflicts? with|not claimed")  # fmt: skip
# I/O that Linux would like behind a hot-plug port: more than there is with 16 of them, and QEMU's
# DSDT gives an extra root bus none. It says so after SeaBIOS too.
HARMLESS = re.compile(r"bridge window \[io +size 0x1000\]")
# BARs that Linux has to give addresses to: none after this firmware.
ASSIGNED = re.compile(r"BAR \d+: assigned")
LINUX = [(name, "universal") for name in SETUP if "255" not in name]
LINUX += [(name, "linux") for name in ("pc with devices and bridges", "q35 with ports")]


@pytest.mark.parametrize("name, template", LINUX)
def test_linux(name: str, template: str, tmp_path: Path) -> None:
    """Debian's kernel finds every function, its disk and its network, and complains of no
    address; where the template sets PCI up it changes none either."""
    guest = SETUP[name]
    bios, serial = tmp_path / "bios.bin", tmp_path / "serial"
    bios.write_bytes(build_image(template).image)
    guest = Guest(guest.machine, guest.memory, guest.smp, debian.cloud_vmlinux(),
                  debian.make_initrd(tmp_path, INIT, modules=debian.cloud_modules()),
                  "console=ttyS0 reboot=t panic=-1", extra=guest.extra)  # fmt: skip
    argv = [*command(guest, bios=bios), "-icount", "shift=auto", "-serial", f"file:{serial}"]
    status = subprocess.run(argv, timeout=200, capture_output=True, check=False).returncode
    text = serial.read_text(errors="replace").replace("\r", "")
    assert status == 0, text[-3000:]
    assert "userspace is done" in text, text[-3000:]
    functions = record(guest).pci
    assert len(re.findall(r"^pci ", text, re.MULTILINE)) == len(functions)
    wanted = " ".join(guest.extra)
    disks = re.findall(r"^disk vd\w (\d+)$", text, re.MULTILINE)
    assert [int(size) > 0 for size in disks] == [True] * wanted.count("virtio-blk-pci")
    nets = re.findall(r"^net (?!lo)\w+ (52:54:00:\S+)$", text, re.MULTILINE)
    assert len(nets) == wanted.count("virtio-net-pci")
    lines = [line for line in text.splitlines() if "pci" in line or "BAR" in line]
    troubles = [line for line in lines if TROUBLE.search(line) and not HARMLESS.search(line)]
    assert troubles == []
    if template == "universal":
        assert [line for line in lines if ASSIGNED.search(line)] == []
