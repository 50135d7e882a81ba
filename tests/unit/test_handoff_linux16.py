"""An old bzImage in the emulated machine: the state of its 16-bit entry, and the BIOS it calls."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from unicorn import x86_const as ux

from fwbuild import protocols
from fwbuild.abi import bios, e820, x86
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.state import Hidden
from fwbuild.firmware import layout, stop_codes, work
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import build_test_bzimage16
from fwbuild.protocols import LINUX16
from fwbuild.sizes import MIB
from tests.support.bios_report import ANSWERS, Report, e801_of, ranges_of, reported
from tests.support.booted import SIZES, emulated
from tests.support.files import claim

RAM = int(e820.Type.RAM)


def boot(guest: Guest, image: bytes, *, dma: bool = True, poison: int = 0xA5) -> Machine:
    return emulated(guest, image, build_test_bzimage16(), dma=dma, poison=poison)


def report(machine: Machine) -> Report:
    """The test kernel's report."""
    console = machine.console
    out = console.port_out

    def tick_when_asked(port: int, size: int, value: int) -> None:
        out(port, size, value)
        if console.text.endswith("\ntick "):  # no timer runs here
            machine.uc.mem_write(layout.address("bda", "ticks"), b"\x01")

    console.port_out = tick_when_asked  # type: ignore[method-assign]
    return reported(machine.run_kernel().console)


@pytest.mark.parametrize("megabytes", SIZES)
@pytest.mark.parametrize("name", MACHINES)
def test_memory_sizes(name: str, megabytes: int, image: Image, tmp_path: Path) -> None:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(bytes(range(256)) * 4097)
    machine = boot(Guest(name, megabytes * MIB, initrd=initrd, append="a=b"), image.image)
    assert LINUX16.judge(machine.state()) == []
    found = LINUX16.read(machine.state())
    ram = sum(m.size for m in found.memmap if m.type in (e820.Type.RAM, e820.Type.NVS))
    assert ram == megabytes * MIB - (e820.EXTENDED - layout.BIOS.base)


@pytest.mark.parametrize("dma", [True, False])
@pytest.mark.parametrize("poison", [0, 0xFF])
def test_by_port_and_over_other_contents(dma: bool, poison: int, image: Image) -> None:
    machine = boot(Guest("pc"), image.image, dma=dma, poison=poison)
    assert LINUX16.judge(machine.state()) == []


def test_registers(image: Image) -> None:
    """The state that boot.rst's sample loader makes, spelled out apart from the judge."""
    registers = boot(Guest("pc"), image.image).outcome.registers
    assert (registers["cs"], registers["eip"]) == (0x1020, 0)
    assert {registers[s] for s in ("ds", "es", "fs", "gs", "ss")} == {0x1000}
    assert registers["cr0"] & ~0x60000000 == 0x10  # as after a reset, but for the caches' bits
    assert registers["eflags"] & 0x200 == 0
    assert 0x8000 < registers["esp"] <= 0xFFFF
    assert registers["esp"] % 4 == 0


def test_the_kernel_and_no_more(image: Image) -> None:
    """As many bytes as the host says, to their place."""
    guest = Guest("pc")
    found = recording.find(guest)
    machine = Machine(image.image, found, protocols.load(guest, found, build_test_bzimage16()))
    data = bytes(range(1, 256)) * 100
    machine.fw_cfg.items |= {
        Key.KERNEL_DATA: data, Key.KERNEL_SIZE: len(data).to_bytes(4, "little"),
    }  # fmt: skip
    place = int.from_bytes(machine.fw_cfg.items[Key.KERNEL_ADDR], "little")
    machine.uc.mem_write(place + len(data), b"kept")
    assert machine.run().kind == "handoff"
    assert machine.read(place, len(data) + 4) == data + b"kept"


def test_calls(image: Image) -> None:
    machine = boot(Guest("pc", append="hello"), image.image)
    found = report(machine)
    assert {label: found[label][0] for label in ANSWERS} == ANSWERS


@pytest.mark.parametrize("name", MACHINES)
def test_memory_map(name: str, image: Image) -> None:
    """The entries of INT 15h E820 are those of the map, one call an entry."""
    machine = boot(Guest(name, 6144 * MIB), image.image)
    wanted = LINUX16.read(machine.state()).memmap
    ranges = ranges_of(report(machine))
    assert ranges == wanted
    assert len(ranges) > 4


def test_only_the_range_before_the_ebda_gives_room(image: Image) -> None:
    """RAM that goes on behind a hole stays as long as it is."""
    guest = Guest("pc")
    found = recording.find(guest)
    machine = Machine(image.image, found, protocols.load(guest, found, build_test_bzimage16()))
    claim(machine, [(0, 64 * MIB, RAM), (128 * MIB, 64 * MIB, RAM)])
    assert machine.run().kind == "handoff"
    assert 192 * MIB in {r["addr"] + r["size"] for r in ranges_of(report(machine))}


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("megabytes", [64, 512, 2048])
def test_e801(name: str, megabytes: int, image: Image) -> None:
    found = report(boot(Guest(name, megabytes * MIB), image.image))
    assert found["e801"] == [e801_of(ranges_of(found))]
    blocks = int(found["e801"][0][1], 16)
    assert 0 <= (megabytes - 16) * 16 - blocks <= 4  # tables take some of it


def test_giving_up_is_a_stop(image: Image) -> None:
    machine = boot(Guest("pc"), image.image)
    report(machine)
    stop = stop_codes.BY_NAME["GAVE_UP"]
    assert machine.outcome.exit_value == stop.code
    assert re.search(rf"^fwbuild: {stop.code:02x} {stop.what} 0+$", machine.console.text, re.M)
    segments = {machine.outcome.registers[name] for name in ("ds", "es", "ss")}
    assert segments == {x86.SELECTOR_DATA}
    stack = layout.region("stack")
    assert stack.base < machine.outcome.registers["esp"] <= stack.end


def test_teletype_reaches_both_consoles(image: Image) -> None:
    machine = boot(Guest("pc"), image.image)
    report(machine)
    assert machine.console.text == machine.serial.text


@pytest.mark.parametrize("name", MACHINES)
def test_vectors_and_controllers(name: str, image: Image) -> None:
    """The timer's interrupt has a vector, and the 8259As send it there."""
    machine = boot(Guest(name), image.image)
    writes = [(a.port, a.value) for a in machine.outcome.accesses if a.port in (0x20, 0x21)]
    masked = [(0x20, 0x11), (0x21, 0x08), (0x21, 0x04), (0x21, 0x01), (0x21, 0xFF)]
    assert writes[-6:] == [*masked, (0x21, 0xFE)]
    writes = [(a.port, a.value) for a in machine.outcome.accesses if a.port in (0xA0, 0xA1)]
    assert writes[-5:] == [(0xA0, 0x11), (0xA1, 0x70), (0xA1, 0x02), (0xA1, 0x01), (0xA1, 0xFF)]
    # the timer's channel 0, both bytes of a count of 65536, as a rate generator: 18.2 Hz
    timer = [(0x43, 0x34), (0x40, 0), (0x40, 0)]
    writes = [(a.port, a.value) for a in machine.outcome.accesses if 0x40 <= a.port <= 0x43]
    assert writes == timer
    # no port but theirs gets a byte from the list
    writes = [(a.port, a.value) for a in machine.outcome.accesses if a.direction == "out"]
    assert writes[-4:] == [(0x21, 0xFE), *timer]
    handoff = LINUX16.read(machine.state())
    bda = handoff.bda
    assert machine.read(layout.EBDA.base, 1) == bytes([layout.EBDA.size >> 10])  # in KiB
    assert list(bda.serial_ports) == [0x3F8, 0, 0, 0]
    assert (bda.columns, bda.last_row, bda.video_mode) == (80, 24, 3)
    assert bda.equipment == 1 << 9 | 2 << 4  # one serial port, 80 columns
    assert (bda.ebda_segment << 4, bda.base_memory << 10) == (layout.EBDA.base, layout.BIOS.base)
    idle = handoff.vectors[0]
    served = {n for n, vector in enumerate(handoff.vectors) if vector != idle}
    irqs = {*range(0x08, 0x10), *range(0x70, 0x78)}
    assert served == irqs | {0x10, 0x11, 0x12, 0x13, 0x15, 0x16, 0x18, 0x19, 0x1A}
    assert len(handoff.vectors) == bios.VECTORS


def test_the_8259s_reach_the_cpu(image: Image) -> None:
    """Through the local APIC, where a host had that line masked."""
    guest = Guest("pc")
    found = recording.find(guest)
    machine = Machine(image.image, found, protocols.load(guest, found, build_test_bzimage16()))
    apic = machine.board.apic
    apic.write(x86.Apic.LVT_LINT0, 4, x86.APIC_LVT_MASKED)
    machine.run()
    assert apic.read(x86.Apic.SPURIOUS, 4) == 0x1FF  # on, its vector as at reset
    assert apic.read(x86.Apic.LVT_LINT0, 4) == 0x8700  # ExtINT, by level, not masked
    assert apic.read(x86.Apic.LVT_LINT1, 4) & 0x107FF == 0x400  # NMI


CALLERS_OWN = ("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp", "ds", "es", "ss", "eflags")
PIC_EOI = {0x20: (0x20, 0x20), 0xA0: (0xA0, 0x20)}  # port: (port, non-specific EOI)


@pytest.mark.parametrize("vector", [*range(0x08, 0x10), *range(0x70, 0x78)])
def test_interrupts_nobody_asked_for_are_acknowledged(vector: int, image: Image) -> None:
    """By the 8259A they come through; IBM PC/AT: IRQ 0 at INT 08h, IRQ 8 at INT 70h."""
    machine = boot(Guest("pc"), image.image)
    registers = machine.outcome.registers
    entry = (registers["cs"] << 4) + registers["eip"]
    machine.uc.mem_write(entry, bytes([0xCD, vector, 0xF4]))  # int vector; hlt
    machine.uc.ctl_remove_cache(entry, entry + 3)
    registers["eax"] = 0x0300  # of what comes next in memory, INT 10h, this would change CX and DX
    machine.uc.reg_write(ux.UC_X86_REG_EAX, registers["eax"])
    ticks = layout.address("bda", "ticks")
    before = int.from_bytes(machine.read(ticks, 4), "little")
    after = machine.run_kernel()
    wanted = [PIC_EOI[0x20]] if vector < 0x70 else [PIC_EOI[0xA0], PIC_EOI[0x20]]
    assert [(a.port, a.value) for a in after.accesses] == wanted
    assert {r: after.registers[r] for r in CALLERS_OWN} == {r: registers[r] for r in CALLERS_OWN}
    counted = int.from_bytes(machine.read(ticks, 4), "little") - before
    assert counted == (vector == 0x08)


# name: (address, value, words of the complaint)
BDA, DS = 0x400, 0x10000
DAMAGE = {
    "vector": (0x10 * 4, b"\0\0\0\x10", "vector 0x10 leads to 0x1000:0x0"),
    "unserved": (0x10 * 4, b"", "nobody serves INT 0x10"),
    "conventional memory": (BDA + 0x13, b"\x80\x02", "640 KiB of conventional memory"),
    "EBDA": (BDA + 0x0E, b"\0\0", "the EBDA is at segment 0x0"),
    "heap": (DS + 0x224, b"\0\xff", "the heap's end 0xff00"),
    "setup code": (DS + 0x300, b"\0\0", "the setup code is damaged"),
    "kernel": (0x100000, b"\1", "the kernel is damaged"),
    "initrd": (DS + 0x218, b"\0\0\0\1", "the initrd is damaged"),
    "initrd's size": (DS + 0x21C, b"\1", "the initrd has 6145 bytes"),
    "command line": (DS + 0x228, b"\1", "the command line is"),
    "command line nowhere": (DS + 0x228, b"\0\0\0\xe0", "points nowhere"),
    "map": (layout.BIOS.base + 8, b"\0\x10", "memory map: RAM is"),
}


@pytest.fixture
def machine(image: Image, tmp_path: Path) -> Machine:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(b"initrd" * 1024)
    return boot(Guest("pc", initrd=initrd, append="a=b"), image.image)


@pytest.mark.parametrize("name", DAMAGE)
def test_judge(name: str, machine: Machine) -> None:
    address, value, words = DAMAGE[name]
    assert LINUX16.judge(machine.state()) == []
    machine.uc.mem_write(address, value or machine.read(0, 4))
    assert words in " / ".join(LINUX16.judge(machine.state()))


REGISTERS = {
    "protected": ("cr0", 0x11, "not in real mode"),
    "IF": ("eflags", 0x202, "EFLAGS.IF"),
    "CS": ("cs", 0x1000, "entered at 0x1000:0x0"),
    "IP": ("eip", 2, "entered at 0x1020:0x2"),
    "SS": ("ss", 0, "SS is 0x0"),
}


@pytest.mark.parametrize("name", REGISTERS)
def test_judge_of_registers(name: str, machine: Machine) -> None:
    register, value, words = REGISTERS[name]
    machine.outcome.registers[register] = value
    assert words in " / ".join(LINUX16.judge(machine.state()))


def test_judge_of_hidden_parts(machine: Machine) -> None:
    state = machine.state()
    good = {name: Hidden(state.registers[name] << 4, 0xFFFF, 0x93) for name in ("cs", "ds", "ss")}
    assert LINUX16.judge(replace(state, hidden=good)) == []
    unreal = {**good, "ds": good["ds"]._replace(limit=0xFFFFFFFF)}
    (found,) = LINUX16.judge(replace(state, hidden=unreal))
    assert "the CPU's DS is not of real mode" in found


def test_code_is_one_piece_and_fits(image: Image) -> None:
    """bios_install copies the group: asm/bios/bios.s alone lies in it, whole."""
    linked = image.linked
    group = [f.name for f in linked.fragments if f.file == "asm/bios/bios.s"]
    starts = [linked.addresses[name] for name in group]
    ends = [start + linked.size(name) for name, start in zip(group, starts, strict=True)]
    assert starts[1:] == ends[:-1]
    assert 0 < ends[-1] - starts[0] <= layout.BIOS.size - work.BIOS_CODE


@pytest.mark.parametrize(("vector", "fine"), [(0x60, True), (0x10, False)])
def test_another_firmware_may_leave_a_users_vector_empty(
    vector: int, fine: bool, machine: Machine
) -> None:
    machine.uc.mem_write(vector * 4, bytes(4))
    assert LINUX16.judge(machine.state())
    assert (LINUX16.judge(replace(machine.state(), own=False)) == []) is fine
