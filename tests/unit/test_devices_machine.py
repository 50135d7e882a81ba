"""The emulated machine around the devices: memory, ports, and how a run ends."""

import pytest

from fwbuild.abi import fw_cfg
from fwbuild.abi.fw_cfg import DmaControl, Key
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Access, Machine
from fwbuild.guest import Guest
from fwbuild.machines import MACHINES
from fwbuild.sizes import MIB

PROTECT = "0f20c0 0c01 0f22c0"  # mov eax, cr0; or al, 1; mov cr0, eax


def machine_with(code: str, name: str = "pc", memory: int = 512 * MIB) -> Machine:
    """A machine whose reset vector jumps to 16-bit `code`, in hexadecimal."""
    image = bytearray(0x10000)
    found = bytes.fromhex(code)
    image[0xFF00 : 0xFF00 + len(found)] = found
    image[0xFFF0:0xFFF3] = bytes.fromhex("e90dff")  # jmp 0xff00
    return Machine(bytes(image), recording.find(Guest(name, memory)))


# code, kind, detail
ENDS = {
    "hlt": ("f4", "halt", ""),
    "sti; hlt": ("fb f4", "wait", "for an interrupt: none comes"),
    "sti; cli; hlt": ("fb fa f4", "halt", ""),
    "jmp $": ("ebfe", "limit", ""),
    "ud2": ("0f0b", "fault", "Invalid instruction (UC_ERR_INSN_INVALID)"),
    "last bytes of a segment": ("66 67 a1 fcff0000 f4", "halt", ""),
    "across a segment's end": (
        "66 67 a1 feff0000 f4", "fault", "an access past a segment's limit: 0xfffe"),
    "read past a segment's end": (
        "66 67 a1 00000100 f4", "fault", "an access past a segment's limit: 0x10000"),
    "write past a segment's end": (
        "66 67 a3 00000100 f4", "fault", "an access past a segment's limit: 0x10000"),
    "another segment": ("b8 0010 8e d8 66 67 a1 00000000 f4", "halt", ""),
    "the code segment after reset": ("2e 66 67 a1 00ff0000 f4", "halt", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_end(name: str) -> None:
    code, kind, detail = ENDS[name]
    outcome = machine_with(code).run(1000)
    assert (outcome.kind, outcome.detail) == (kind, detail)


# code behind `mov ecx, N`, N, how often QEMU's -d exec tells of it: once for each iteration, and
# once where there is none. al is 0, memory 0xa5.
REPEATS = {
    "rep stosb, no byte": ("f3 aa", 0, 1),
    "rep stosb, one": ("f3 aa", 1, 1),
    "rep stosb, seven": ("f3 aa", 7, 7),
    "rep stosb twice": ("f3 aa f3 aa", 7, 8),
    "repe scasb ends early": ("f3 ae", 7, 1),
    "repne scasb": ("f2 ae", 7, 7),
    "stosb": ("aa", 7, 1),
    "loop to itself": ("e2 fe", 7, 7),
}


@pytest.mark.parametrize("name", REPEATS)
def test_repeated_instructions(name: str) -> None:
    code, count, executed = REPEATS[name]
    instructions = 2 if name.endswith("twice") else 1
    outcome = machine_with(f"66b9{count:02x}000000 {code} f4").run()
    assert outcome.kind == "halt"
    # jmp, mov and hlt beside it
    assert outcome.instructions + outcome.repeats == executed + 3
    assert outcome.repeats == executed - instructions


def test_access_to_no_memory() -> None:
    """Reads give 0, as QEMU's; both are reported, as often as they are made."""
    read, write = "66 67 a1 000000e0", "66 67 a3 fc0f00e0"
    machine = machine_with(f"{PROTECT} {read} {write} {read} f4")
    outcome = machine.run()
    assert outcome.kind == "halt"
    assert outcome.registers["eax"] == 0
    reads = Access("read", 0xE0000000, 4, 0)
    assert outcome.unclaimed == [reads, Access("write", 0xE0000FFC, 4, 0), reads]
    assert outcome.accesses == outcome.unclaimed
    with pytest.raises(MemoryError):
        machine.read(0xE0000000, 4)


def test_no_code_without_memory() -> None:
    outcome = machine_with(f"{PROTECT} 66 b8 000000e0 66 ff e0").run()  # mov eax, ...; jmp eax
    assert outcome.kind == "fault"
    assert "UNMAPPED" in outcome.detail


def test_port_without_a_device() -> None:
    outcome = machine_with("ba 1205 66 ed ba 1005 66 ef f4").run()
    # in eax, dx reaches nothing at 0x512 but fw_cfg's DMA register at 0x514
    assert outcome.registers["eax"] == 0x4551FFFF
    assert [a.port for a in outcome.unclaimed] == [0x512]


WRITE_F = "b8 00f0 8e d8 c6 06 1000 5a f4"  # byte F0010 = 5A


@pytest.mark.parametrize(("name", "byte"), [("microvm", 0x5A), ("pc", 0), ("q35", 0)])
def test_f_segment(name: str, byte: int) -> None:
    """microvm's is the ROM itself, and writable; the others drop the write."""
    machine = machine_with(WRITE_F, name)
    assert machine.run().kind == "halt"
    assert machine.read(0xF0010, 1)[0] == machine.read(0xFFFF0010, 1)[0] == byte


@pytest.mark.parametrize("name", MACHINES)
def test_large_image(name: str) -> None:
    """Its last 128 KiB are seen below 1 MiB."""
    image = b"".join(bytes([n]) * 0x10000 for n in range(1, 4))
    machine = Machine(image, recording.find(Guest(name)), poison=0xA5)
    assert machine.read(0xDFFFF, 3)[1:] == b"\2\2"
    assert machine.read(0xEFFFF, 2) == b"\2\3"
    assert machine.read((1 << 32) - len(image), 1) == b"\1"


def test_shadowing() -> None:
    """PAM shows the RAM behind the ROM, which keeps what was written to it."""
    memory = Machine(b"\1" * 0x20000, recording.find(Guest("q35")), poison=0xA5).memory
    for base in (0xC0000, 0xE0000, 0xFC000):
        rom = memory.read(base, 4)
        assert not memory.dma_write(base, b"lost")
        memory.shadow(base, 0x4000, writable=True)
        assert memory.read(base, 4) == b"\xa5" * 4
        assert memory.dma_write(base, b"kept")
        memory.shadow(base, 0x4000, writable=True)
        assert memory.read(base, 4) == b"kept"
        memory.shadow(base, 0x4000, writable=False)
        assert memory.read(base, 4) == rom
        assert not memory.dma_write(base, b"lost")
        memory.shadow(base, 0x4000, writable=True)
        assert memory.read(base, 4) == b"kept"


def test_ram_above_4_gib() -> None:
    """Devices reach it, at its last byte too, however much there is."""
    machine = machine_with("f4", memory=1 << 40)
    base, size = machine.recording.ram()[-1]
    assert base >= 1 << 32
    for address in (base, base + 0x1FFFFE, base + size - 4):
        assert machine.memory.dma_write(address, b"high")
        assert machine.read(address, 4) == b"high"
    assert not machine.memory.dma_write(base + size - 2, b"part")
    assert machine.read(base + size - 4, 4) == b"hipa"


def test_dma_from_the_guest() -> None:
    """A transfer that the CPU starts, whose descriptor lies in the ROM: no answer can be
    written there, and none is missed."""
    machine = machine_with("66 b8 000f0000 ba 1805 66 ef f4")  # mov eax, be32(0xf0000); out
    control = Key.SIGNATURE << fw_cfg.DMA_KEY_SHIFT | DmaControl.SELECT | DmaControl.READ
    descriptor = fw_cfg.DMA.build({"control": control, "length": 4, "address": 0x2000})
    image = descriptor + machine.image[16:]
    machine = Machine(image, machine.recording)
    assert machine.run().kind == "halt"
    assert machine.read(0x2000, 5) == b"QEMU\xa5"
    assert machine.read(0xF0000, 16) == descriptor
    assert machine.writes == {2}
