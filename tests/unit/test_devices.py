"""Devices of the emulated machine as its CPU meets them: ports, MMIO, and what is logged."""

import pytest

from fwbuild.emulator import recording
from fwbuild.emulator.apic import Ipi
from fwbuild.emulator.legacy import Pic
from fwbuild.emulator.machine import Access, Machine, Outcome
from fwbuild.guest import Guest
from fwbuild.machines import MACHINES
from tests.support.matrix import recorded


class Program:
    """16-bit code for the reset vector, instruction by instruction (Intel SDM volume 2). It
    sets CR0.PE first: from then on the emulated CPU lets 32-bit addresses reach all memory."""

    def __init__(self) -> None:
        self.code = b"\x0f\x20\xc0\x0c\x01\x0f\x22\xc0"  # mov eax, cr0; or al, 1; mov cr0, eax

    def out(self, port: int, size: int, value: int) -> "Program":
        """mov dx, port; mov eax, value; out dx, al/ax/eax"""
        instruction = {1: b"\xee", 2: b"\xef", 4: b"\x66\xef"}[size]
        return self._add(b"\xba", port.to_bytes(2, "little"), *self._eax(value), instruction)

    def read_port(self, port: int, size: int) -> "Program":
        """mov dx, port; in al/ax/eax, dx"""
        instruction = {1: b"\xec", 2: b"\xed", 4: b"\x66\xed"}[size]
        return self._add(b"\xba", port.to_bytes(2, "little"), instruction)

    def load(self, address: int, size: int) -> "Program":
        """mov al/ax/eax, [address]"""
        opcode = {1: b"\xa0", 2: b"\xa1", 4: b"\x66\xa1"}[size]
        return self._add(b"\x67", opcode, address.to_bytes(4, "little"))

    def store(self, address: int, size: int, value: int) -> "Program":
        """mov eax, value; mov [address], al/ax/eax"""
        opcode = {1: b"\xa2", 2: b"\xa3", 4: b"\x66\xa3"}[size]
        return self._add(*self._eax(value), b"\x67", opcode, address.to_bytes(4, "little"))

    def run(self, guest: Guest) -> tuple[Machine, Outcome]:
        """The machine after the program, which ends with hlt."""
        image = (self.code + b"\xf4").ljust(0xFFF0, b"\0")
        image += b"\xe9\x0d\x00"  # jmp to F000:0000
        machine = Machine(image.ljust(0x10000, b"\0"), recording.find(guest))
        outcome = machine.run()
        assert outcome.kind == "halt", outcome.detail
        return machine, outcome

    @staticmethod
    def _eax(value: int) -> tuple[bytes, bytes]:
        return b"\x66\xb8", value.to_bytes(4, "little")

    def _add(self, *parts: bytes) -> "Program":
        self.code += b"".join(parts)
        return self


def test_configuration_by_ports() -> None:
    """Two accesses a register, each logged; PMBASE moves ports that answer from then on."""
    program = Program().out(0xCF8, 4, 0x80000000).read_port(0xCFC, 2).read_port(0xCFE, 2)
    program.read_port(0x604, 2).out(0xCF8, 4, 0x80000B40).out(0xCFC, 4, 0x601)
    program.out(0xCF8, 4, 0x80000B80).out(0xCFC, 1, 1).out(0x604, 2, 1).read_port(0x604, 2)
    _, outcome = program.run(Guest("pc"))
    assert outcome.accesses == [
        Access("out", 0xCF8, 4, 0x80000000),
        Access("in", 0xCFC, 2, 0x8086),
        Access("in", 0xCFE, 2, 0x1237),
        Access("in", 0x604, 2, 0xFFFF),
        Access("out", 0xCF8, 4, 0x80000B40),
        Access("out", 0xCFC, 4, 0x601),
        Access("out", 0xCF8, 4, 0x80000B80),
        Access("out", 0xCFC, 1, 1),
        Access("out", 0x604, 2, 1),
        Access("in", 0x604, 2, 1),
    ]
    assert outcome.unclaimed == [Access("in", 0x604, 2, 0xFFFF)]


def test_configuration_by_ecam() -> None:
    """One access a register. The window is on where PCIEXBAR says, and may move itself."""
    program = Program().out(0xCF8, 4, 0x80000060).out(0xCFC, 4, 0xB0000001)
    program.load(0xB0000000, 4).load(0xB00F8002, 2).load(0xB00F800B, 1).store(0xB00F8040, 4, 0x601)
    program.load(0xB00F8040, 4).store(0xB0000060, 4, 0xC0000001).load(0xC00F8000, 4)
    machine, outcome = program.run(Guest("q35"))
    assert outcome.accesses[2:] == [
        Access("read", 0xB0000000, 4, 0x29C08086),
        Access("read", 0xB00F8002, 2, 0x2918),
        Access("read", 0xB00F800B, 1, 0x06),
        Access("write", 0xB00F8040, 4, 0x601),
        Access("read", 0xB00F8040, 4, 0x601),
        Access("write", 0xB0000060, 4, 0xC0000001),
        Access("read", 0xC00F8000, 4, 0x29188086),
    ]
    assert outcome.unclaimed == []
    assert machine.writes == set(), "MMIO is no memory"
    assert machine.board.mmio.find(0xB0000000) is None
    off = Program().out(0xCF8, 4, 0x80000060).out(0xCFC, 4, 0xB0000000)
    assert off.run(Guest("q35"))[0].board.mmio.find(0xB0000000) is None


def test_microvm() -> None:
    """No configuration ports; a window at a fixed address with pcie=on."""
    program = Program().out(0xCF8, 4, 0x80000000).read_port(0xCFC, 4)
    machine, outcome = program.run(Guest("microvm"))
    assert (
        outcome.accesses
        == outcome.unclaimed
        == [Access("out", 0xCF8, 4, 0x80000000), Access("in", 0xCFC, 4, 0xFFFFFFFF)]
    )
    assert machine.board.mmio.find(0xE0000000) is None
    _, outcome = Program().load(0xE0000000, 4).run(recorded()["microvm-with-pcie"])
    assert outcome.accesses == [Access("read", 0xE0000000, 4, 0x00081B36)]


def test_map_and_unmap() -> None:
    seen: list[tuple[int, ...]] = []
    machine = Machine(bytes(0x10000), recording.find(Guest()))
    machine.map_mmio(0xD0000000, 0x2000, lambda at, size: at + size, lambda *a: seen.append(a))
    assert machine.board.mmio.read(0xD0001004, 4) == 0x1008
    machine.board.mmio.write(0xD0000010, 2, 0xABCD)
    assert seen == [(0x10, 2, 0xABCD)]
    machine.unmap_mmio(0xD0000000)
    assert machine.board.mmio.read(0xD0001004, 2) == 0xFFFF
    machine.board.mmio.write(0xD0000010, 2, 0xABCD)
    assert len(seen) == 1
    assert [a.direction for a in machine.outcome.accesses] == ["read", "write"] * 2
    machine.map_mmio(0xD0000000, 0x1000, lambda *_: 0, lambda *_: None)  # the addresses are free


def test_device_over_memory_is_a_fault() -> None:
    """Unicorn cannot overlay: a window put over RAM ends the run and says so."""
    program = Program().out(0xCF8, 4, 0x80000060).out(0xCFC, 4, 0x00000001)
    with pytest.raises(AssertionError, match="UC_ERR_MAP"):
        program.run(Guest("q35"))


@pytest.mark.parametrize("name", MACHINES)
def test_interprocessor_interrupts(name: str) -> None:
    """INIT to all others, then a STARTUP to CPU 1 (SDM volume 3A, 11.6.1 and 9.4.4)."""
    program = Program().load(0xFEE00030, 4).load(0xFEE000F0, 4).store(0xFEE000F0, 4, 0x1FF)
    program.load(0xFEE000F0, 4).store(0xFEE00300, 4, 0xC4500)
    program.store(0xFEE00310, 4, 0x01000000).store(0xFEE00300, 4, 0x4610)
    program.store(0xFEE00300, 2, 0x4610)  # not a dword: nothing is sent
    machine, outcome = program.run(Guest(name))
    assert machine.board.apic.ipis == [Ipi(0xC4500, 0), Ipi(0x4610, 1)]
    reads = [a.value for a in outcome.accesses if a.direction == "read"]
    assert reads == [0x50014, 0xFF, 0x1FF]
    assert len(outcome.accesses) == 8


# PICs to vectors 8 and 70, all masked; IRQ 10 and 11 level; counter 0 at its slowest
INITIALISED = [
    (0x20, 0x11), (0x21, 0x08), (0x21, 0x04), (0x21, 0x01), (0x21, 0xFF),
    (0xA0, 0x11), (0xA1, 0x70), (0xA1, 0x02), (0xA1, 0x01), (0xA1, 0xFF),
    (0x4D1, 0x0C), (0x43, 0x34), (0x40, 0), (0x40, 0), (0x70, 0x8F), (0x71, 0),
]  # fmt: skip


@pytest.mark.parametrize("name", MACHINES)
def test_initialisation_of_the_oldest_devices(name: str) -> None:
    program = Program()
    for port, value in INITIALISED:
        program.out(port, 1, value)
    machine, outcome = (
        program.read_port(0x21, 1).read_port(0xA1, 1).read_port(0x4D1, 1).run(Guest(name))
    )
    assert outcome.unclaimed == []
    assert [a.value for a in outcome.accesses if a.direction == "in"] == [0xFF, 0xFF, 0x0C]
    controllers = [machine.devices[port] for port in (0x20, 0xA0)]
    assert [c.vector for c in controllers if isinstance(c, Pic)] == [0x08, 0x70]


def test_cmos_is_recorded() -> None:
    """The amount of memory as the PC's firmware always found it: KiB above 1 MiB in 30 and 31,
    64 KiB above 16 MiB in 34 and 35 (QEMU, hw/i386/pc.c, pc_cmos_init())."""
    program = Program()
    for index in (0x30, 0x31, 0x34, 0x35):
        program.out(0x70, 1, index).read_port(0x71, 1)
    _, outcome = program.run(Guest("pc"))
    low, high, low_64, high_64 = (a.value for a in outcome.accesses if a.direction == "in")
    assert high << 8 | low == 0xFFFF  # at most
    assert (high_64 << 8 | low_64) * 64 * 1024 == (512 - 16) << 20


def test_kvm_microvm_has_fewer_devices() -> None:
    _, outcome = Program().out(0x21, 1, 0).read_port(0x71, 1).run(Guest("microvm", accel="kvm"))
    assert len(outcome.unclaimed) == 2
