"""The emulated machine and a real QEMU, both stopped at the kernel's PVH entry, compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fwbuild import layout
from fwbuild.abi import e820
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator import loader
from fwbuild.emulator.handoff import read_handoff
from fwbuild.emulator.judge import judge
from fwbuild.emulator.machine import Machine
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.qemu.command import command
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.record import KERNEL_KEYS, record
from fwbuild.qemu.session import stopped

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
    assert judge(machine, ours) == []
    with at_entry(guest, bios, loaded.entry) as stub:
        theirs = stub.registers()
        handoff = read_handoff(stub.read, theirs["ebx"])
        tables = [(m.addr, m.size) for m in handoff.memmap if m.type == e820.Type.NVS]
        if registers:
            tables.append((layout.F_SEGMENT.base, layout.F_SEGMENT.size))
        contents = [stub.read(*table) for table in tables]
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
