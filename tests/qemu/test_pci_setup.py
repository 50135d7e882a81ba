"""PCI as the firmware leaves it, in QEMU: as in the emulator, and as Linux wants it."""

from pathlib import Path

import pytest

from fwbuild.abi import pci
from fwbuild.emulator import loader
from fwbuild.emulator.machine import Machine
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.qemu.command import command
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.record import record
from fwbuild.qemu.session import stopped
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
