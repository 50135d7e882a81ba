"""The emulated machine and a real QEMU, both stopped at the kernel's PVH entry, compared."""

import re
import uuid
from pathlib import Path

from fwbuild.abi import e820, pci
from fwbuild.emulator.machine import Machine
from fwbuild.firmware import layout
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.protocols import PVH
from fwbuild.qemu.gdbstub import GdbStub
from tests.support.booted import booted
from tests.support.pci_headers import within_reach


def compare(
    guest: Guest, image: Image, folder: Path, *, registers: bool = True, ram: int = 0
) -> Machine:
    """Run both and assert that they agree: registers, all that is handed over, the tables, PCI.
    Returns the emulated machine. A guest whose firmware does what depends on the CPU (an MP
    table's CPU signatures) leaves other `registers`. RAM is full of `ram` bytes before;
    the emulated machine's above 1 MiB is not, so that the pages of tables are left out then."""
    with booted(guest, image, folder, ram) as pair:
        machine, stub = pair.machine, pair.stub
        handoff = PVH.read(pair.real)
        tables = [(m.addr, m.size) for m in handoff.memmap if m.type == e820.Type.NVS and not ram]
        if registers:
            tables.append((layout.F_SEGMENT.base, layout.F_SEGMENT.size))
            pair.agree()
        else:
            assert handoff.plain() == PVH.read(machine.state()).plain()
        assert [stub.read(*table) for table in tables] == [machine.read(*t) for t in tables]
        compare_pci(stub, machine)
        compare_generation_id(stub, machine)
        assert pair.real.hidden.keys() >= {"cs", "ds", "es", "ss", "tr"}  # the judge saw them
        assert (pair.real.gdtr, pair.real.tr) == (machine.outcome.gdtr, machine.outcome.tr)
    return machine


def compare_pci(stub: GdbStub, machine: Machine) -> None:
    """The 256 bytes of each function within reach."""
    for bus, devfn, function in within_reach(machine):
        real = configuration(stub, machine, bus, devfn)
        ours = bytes(function.config[: pci.CONFIG_SIZE])
        wrong = {hex(i): (real[i], ours[i]) for i in range(len(real)) if real[i] != ours[i]}
        assert not wrong, f"{bus:02x}:{devfn:02x}: (QEMU, emulator) {wrong}"


def configuration(stub: GdbStub, machine: Machine, bus: int, devfn: int) -> bytes:
    """A function's registers: by the monitor's port accesses, on microvm by its window."""
    family = machine.recording.family
    if not family.config_ports:
        assert family.ecam is not None
        window = family.ecam + (bus << pci.ECAM_BUS_SHIFT | devfn << pci.ECAM_DEVFN_SHIFT)
        return stub.read(window, pci.CONFIG_SIZE)
    data = b""
    for at in range(0, pci.CONFIG_SIZE, 4):
        address = pci.CONFIG_ENABLE | bus << 16 | devfn << 8 | at
        stub.monitor(f"o /w {pci.CONFIG_ADDRESS:#x} {address:#x}")
        text = stub.monitor(f"i /w {pci.CONFIG_DATA:#x}")
        data += int(text.rpartition("=")[2], 16).to_bytes(4, "little")
    return data


def compare_generation_id(stub: GdbStub, machine: Machine) -> None:
    """Where a guest has a VM generation ID, it is where the table loader told the host."""
    if machine.recording.file("etc/vmgenid_addr"):
        pointer = int.from_bytes(machine.fw_cfg.file("etc/vmgenid_addr"), "little")
        said = re.search(r"[0-9a-f-]{36}", stub.monitor("info vm-generation-id"))
        assert said
        assert stub.read(pointer, 16) == uuid.UUID(said[0]).bytes_le
