"""The firmware's BARs, its memory map and the windows that ACPI describes, read by Linux."""

from pathlib import Path

import pytest

from fwbuild import protocols
from fwbuild.abi.e820 import FOUR_GIB
from fwbuild.qemu.command import command
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.record import record
from fwbuild.qemu.session import stopped
from tests.support import debian
from tests.support.matrix import Stanza, stanzas
from tests.support.pci_linux import SHOW, Linux, Resources, decoded, disagreements

pytestmark = pytest.mark.qemu

INIT = f"""#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
{SHOW}
echo "userspace is done"
/bin/busybox poweroff -f
"""
CASES = {name: case for name, case in stanzas().items() if case.windows}


def run(case: Stanza, bios: Path, folder: Path) -> tuple[Resources, Linux]:
    """The BARs at the kernel's entry, and what it says until it powers the guest off."""
    serial = folder / "serial"
    guest = case.guest(
        kernel=debian.cloud_vmlinux(),
        append=debian.append(case.guest().family),
        initrd=debian.make_initrd(folder, INIT),
    )
    loaded = protocols.load(guest, record(guest))
    assert loaded
    argv = [*command(guest, bios=bios), "-serial", f"file:{serial}"]
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


@pytest.mark.parametrize("name", CASES)
def test_windows(name: str, bios: Path, tmp_path: Path) -> None:
    bars, linux = run(CASES[name], bios, tmp_path)
    # What there is to compare.
    assert len(linux.memmap) >= 4
    assert all(root.windows for root in linux.roots.values())
    assert any(r.base >= FOUR_GIB for found in bars.values() for r in found.values())
    assert list(disagreements(bars, linux)) == []
