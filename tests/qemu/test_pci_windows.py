"""The firmware's BARs, its memory map and the windows that ACPI describes, read by Linux."""

from dataclasses import replace
from pathlib import Path

import pytest

from fwbuild.emulator import loader
from fwbuild.guest import MIB, Guest
from fwbuild.image.build import Image
from fwbuild.qemu.command import command
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.record import record
from fwbuild.qemu.session import stopped
from tests.support import debian
from tests.support.pci_guests import DISK, LARGE, devices
from tests.support.pci_linux import SHOW, Linux, Resources, decoded, disagreements

pytestmark = pytest.mark.qemu

FOUR_GIB = 1 << 32
INIT = f"""#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
{SHOW}
echo "userspace is done"
/bin/busybox poweroff -f
"""
GUESTS = {
    # Memory hot-plug and 6 GiB of RAM: the upper window begins far above.
    "pc": Guest("pc", 6144 * MIB, extra=(*DISK, *LARGE, "-m", "6G,slots=4,maxmem=32G", *devices(
        "ivshmem-plain,bus=pci.0,addr=3,memdev=large",
        "pci-bridge,id=near,bus=pci.0,addr=4,chassis_nr=1",
        "e1000,bus=near,addr=1",
        "pxb,id=far,bus=pci.0,addr=5,bus_nr=64",
        "virtio-blk-pci,bus=far,addr=3,drive=disk",
        "pci-bridge,id=farther,bus=far,addr=4,chassis_nr=2",
        "virtio-rng-pci,bus=farther,addr=1",
        "VGA,bus=pci.0,addr=2"))),
    # The BAR above 4 GiB is behind an extra root bus, so that it has a window of its own there.
    "q35": Guest("q35", extra=(*DISK, *LARGE, *devices(
        "pcie-root-port,id=one,bus=pcie.0,addr=2.0,chassis=1,multifunction=on",
        "pcie-root-port,id=two,bus=pcie.0,addr=2.1,chassis=2",
        "virtio-net-pci,bus=one",
        "pcie-pci-bridge,id=old,bus=pcie.0,addr=3",
        "e1000,bus=old,addr=1",
        "pxb-pcie,id=far,bus=pcie.0,addr=4,bus_nr=64",
        "pcie-root-port,id=three,bus=far,addr=0,chassis=3",
        "ivshmem-plain,bus=three,memdev=large",
        "pcie-root-port,id=four,bus=far,addr=1,chassis=4",
        "pxb-pcie,id=further,bus=pcie.0,addr=5,bus_nr=128",
        "pcie-root-port,id=five,bus=further,addr=0,chassis=5",
        "virtio-blk-pci,bus=five,drive=disk",
        "virtio-gpu-pci,bus=pcie.0,addr=6"))),
}  # fmt: skip


def run(guest: Guest, image: Image, folder: Path) -> tuple[Resources, Linux]:
    """The BARs at the kernel's entry, and what it says until it powers the guest off."""
    bios, serial = folder / "bios.bin", folder / "serial"
    bios.write_bytes(image.image)
    guest = replace(guest, kernel=debian.cloud_vmlinux(), append="console=ttyS0 reboot=t panic=-1",
                    initrd=debian.make_initrd(folder, INIT))  # fmt: skip
    loaded = loader.load(guest, record(guest))
    assert loaded
    argv = [*command(guest, bios=bios), "-icount", "shift=auto", "-serial", f"file:{serial}"]
    with stopped(argv, "-gdb", 200) as connection:
        stub = GdbStub(connection)
        stub.run_to(loaded.entry)
        bars = decoded(stub.monitor("info pci"))
        stub.clear_breakpoint(loaded.entry)
        stub.send("c")
        while connection.recv(1024):  # until QEMU ends
            pass
    text = serial.read_text(errors="replace").replace("\r", "")
    assert "userspace is done" in text, text[-3000:]
    return bars, Linux.parse(text)


@pytest.mark.parametrize("name", GUESTS)
def test_windows(name: str, image: Image, tmp_path: Path) -> None:
    bars, linux = run(GUESTS[name], image, tmp_path)
    # What there is to compare.
    assert len(linux.memmap) >= 4
    assert all(root.windows for root in linux.roots.values())
    assert any(r.base >= FOUR_GIB for found in bars.values() for r in found.values())
    assert list(disagreements(bars, linux)) == []
