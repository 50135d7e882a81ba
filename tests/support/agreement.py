"""The emulated machine and a real QEMU, both stopped at the kernel's PVH entry, compared."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fwbuild.abi import e820, pci
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator import loader
from fwbuild.emulator.handoff import read_handoff
from fwbuild.emulator.judge import judge
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.pci.function import Function
from fwbuild.firmware import layout
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.qemu.command import command
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.record import KERNEL_KEYS, record
from fwbuild.qemu.session import stopped
from tests.support.pci_judge import buses

REGISTERS = "eax ebx ecx edx esi edi ebp esp eip cr0 cr4 cs ds es ss".split()


@contextmanager
def at_entry(guest: Guest, bios: Path, entry: int) -> Iterator[GdbStub]:
    """QEMU at a kernel's entry."""
    with stopped(command(guest, bios=bios), "-gdb", 60) as connection:
        stub = GdbStub(connection)
        stub.run_to(entry)
        yield stub


def compare(guest: Guest, image: Image, folder: Path, *, registers: bool = True) -> Machine:
    """Run both and assert that they agree: what QEMU's loader and ours say, registers, all that
    is handed over, the tables. Returns the emulated machine. A guest whose firmware does what
    depends on the CPU (an MP table's CPU signatures) leaves other `registers`."""
    bios = folder / "bios.bin"
    bios.write_bytes(image.image)
    found = record(guest)
    loaded = loader.load(guest, found)
    assert loaded
    for key in KERNEL_KEYS:
        assert loaded.keys[key] == found.keys[key], Key(key).name
    machine = Machine(image.image, found, loaded, poison=0)
    ours = machine.run()
    if guest.family.config_ports:
        found = replace(found, files=record(guest, headers(machine)).files)
        machine = Machine(image.image, found, loaded, poison=0)
        ours = machine.run()
    assert judge(machine, ours) == []
    with at_entry(guest, bios, loaded.entry) as stub:
        theirs = stub.registers()
        handoff = read_handoff(stub.read, theirs["ebx"])
        tables = [(m.addr, m.size) for m in handoff.memmap if m.type == e820.Type.NVS]
        if registers:
            tables.append((layout.F_SEGMENT.base, layout.F_SEGMENT.size))
        contents = [stub.read(*table) for table in tables]
        compare_pci(stub, machine)
        compare_generation_id(stub, machine)
    if registers:
        assert {r: theirs[r] for r in REGISTERS} == {r: ours.registers[r] for r in REGISTERS}
    assert contents == [machine.read(*table) for table in tables]
    assert (theirs["gdt_base"], theirs["gdt_limit"]) == ours.gdtr
    assert handoff.plain() == read_handoff(machine.read, ours.registers["ebx"]).plain()
    # the hidden parts, which the emulator cannot show
    assert (theirs["tr"], theirs["tr_base"], theirs["tr_limit"]) == (ours.tr, 0, 0x67)
    for segment in ("cs", "ds", "es", "ss"):
        assert (theirs[f"{segment}_base"], theirs[f"{segment}_limit"]) == (0, 0xFFFFFFFF)
    assert theirs["cs_flags"] & 0xFF00 == 0x9B00
    assert theirs["ds_flags"] & 0xFF00 == 0x9300
    return machine


def headers(machine: Machine) -> Iterator[tuple[int, int, bytes]]:
    """What the firmware has left in PCI's headers, of the functions within reach."""
    for bus, devfn, function in within_reach(machine):
        yield bus, devfn, bytes(function.config[: pci.HEADER.sizeof()])


def within_reach(machine: Machine) -> Iterator[tuple[int, int, Function]]:
    """(bus, devfn, function); an image that gives bridges no bus numbers leaves out some."""
    for bus in buses(machine):
        for devfn, function in bus.functions.items():
            if machine.board.pci.find(bus.number, devfn) is function:
                yield bus.number, devfn, function


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
