"""BIOS calls of a 16-bit kernel one by one: what each answers, and the registers that it keeps."""

from dataclasses import dataclass, field
from functools import cache

import pytest
from unicorn import x86_const as ux

from fwbuild.abi import bios, e820, ports
from fwbuild.abi.x86 import Eflags
from fwbuild.emulator.machine import Machine, Outcome
from fwbuild.emulator.state import End
from fwbuild.firmware import layout
from fwbuild.guest import Guest
from fwbuild.image.build import build_image
from fwbuild.payloads.test_kernel import build_test_bzimage16
from tests.support.booted import emulated

CALLERS_OWN = ("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp", "ds", "es", "ss")
CARRY, ZERO = int(Eflags.CF), int(Eflags.ZF)
EXTENDED_KIB = layout.address("bios_data", "extended_kib")
TICKS = layout.address("bda", "ticks")
SIGNATURE = bios.SMAP


@dataclass
class Case:
    """A vector, the registers that are passed and those that come back changed, the flags that are
    set of those that the call decides (None: it keeps all), and a dword in memory that matters:
    (address, value)."""

    vector: int
    given: dict[str, int]
    changed: dict[str, int] = field(default_factory=dict)
    flags: int | None = None
    memory: tuple[int, int] | None = None


def system(eax: int, changed: dict[str, int], flags: int, **more: int) -> Case:
    """`extended`: the KiB of RAM from 1 MiB on."""
    memory = (EXTENDED_KIB, more.pop("extended")) if "extended" in more else None
    return Case(bios.Vector.SYSTEM, {"eax": eax, **more}, changed, flags, memory)


def refused(**registers: int) -> Case:
    """E820 in vain: AH is 86h."""
    given = {"edx": SIGNATURE, "ecx": e820.ENTRY.sizeof(), "ebx": 0} | registers
    return system(0xE820, {"eax": 0x8620}, CARRY, **given)


CASES = {
    "cursor": Case(bios.Vector.VIDEO, {"eax": 0x0300, "ecx": 5, "edx": 5},
                   {"ecx": 0x0607, "edx": 0}),
    "a function of the screen that nobody knows": Case(bios.Vector.VIDEO, {"eax": 0x5500}),
    "shift keys": Case(bios.Vector.KEYS, {"eax": 0x02AA}, {"eax": 0x0200}),
    "a key?": Case(bios.Vector.KEYS, {"eax": 0x01AA}, {"eax": 0x0100}, ZERO),
    "a key of the larger keyboard?": Case(
        bios.Vector.KEYS, {"eax": 0x11AA}, {"eax": 0x1100}, ZERO),
    "a disk": Case(bios.Vector.DISK, {"eax": 0x0280}, {"eax": 0x0180}, CARRY),
    "the time": Case(bios.Vector.TIME, {"eax": 0x00AA}, {"eax": 0, "ecx": 0x1234, "edx": 0x5678}, 0,
                     (TICKS, 0x12345678)),
    "E820 without its signature": refused(edx=SIGNATURE + 1),
    "E820 to a buffer of 19 bytes": refused(ecx=19),
    "E820 behind the last entry": refused(ebx=20 * 126),
    "E820 from far away": refused(ebx=0xFFFFFFF0),
    "RAM above 1 MiB": system(0x8800, {"eax": 0x1234}, 0, extended=0x1234),
    "RAM above 1 MiB, all that it can tell": system(0x8800, {"eax": 0xFC00}, 0, extended=0xFC00),
    "RAM above 1 MiB, 1 KiB more": system(0x8800, {"eax": 0xFC00}, 0, extended=0xFC01),
    "RAM above 1 MiB, more than it can tell": system(
        0x8800, {"eax": 0xFC00}, 0, extended=0x10000),
    "E801 of 15 MiB": system(
        0xE801, {"eax": 0x3C00, "ecx": 0x3C00, "ebx": 0, "edx": 0}, 0, extended=0x3C00),
    "E801 of 15 MiB and 1 KiB": system(
        0xE801, {"eax": 0x3C00, "ecx": 0x3C00, "ebx": 0, "edx": 0}, 0, extended=0x3C01),
    "E801 of 4 MiB": system(
        0xE801, {"eax": 0xC00, "ecx": 0xC00, "ebx": 0, "edx": 0}, 0, extended=0xC00),
    "E801 of 79 MiB": system(
        0xE801, {"eax": 0x3C00, "ecx": 0x3C00, "ebx": 0x400, "edx": 0x400}, 0, extended=79 << 10),
}  # fmt: skip


@cache
def before() -> Machine:
    return emulated(Guest("pc"), build_image().image, build_test_bzimage16())


def called(vector: int, given: dict[str, int]) -> tuple[Machine, Outcome]:
    """A call from the kernel's entry: the state at the halt behind it, or in it."""
    machine = before()
    registers = machine.outcome.registers
    entry = (registers["cs"] << 4) + registers["eip"]
    machine.uc.mem_write(entry, bytes([0xCD, vector, 0xF4]))  # int vector; hlt
    machine.uc.ctl_remove_cache(entry, entry + 3)
    for name, value in {"ebx": 0x1111, "ecx": 0x2222, "edx": 0x3333, **given}.items():
        machine.uc.reg_write(getattr(ux, f"UC_X86_REG_{name.upper()}"), value)
    return machine, machine.run_kernel()


@pytest.fixture(autouse=True)
def as_before() -> object:
    """Each test begins at the kernel's entry."""
    machine = before()
    saved, outcome = machine.uc.context_save(), machine.outcome
    memory = machine.read(0, 0x100000)
    yield
    machine.uc.mem_write(0, memory[:0xA0000])
    machine.uc.context_restore(saved)
    machine.outcome = outcome


def test_an_entry_is_all_that_e820_writes() -> None:
    machine = before()
    registers = machine.outcome.registers
    at = 0x9000
    place = (registers["es"] << 4) + at
    machine.uc.mem_write(place, b"\xaa" * 32)
    asked = {"eax": 0xE820, "edx": SIGNATURE, "ecx": 32, "ebx": 0, "edi": at}
    _, after = called(bios.Vector.SYSTEM, asked)
    assert (after.registers["ecx"], after.registers["ebx"]) == (20, 20)
    assert after.registers["eax"].to_bytes(4, "big") == b"SMAP"
    assert machine.read(place, 32)[20:] == b"\xaa" * 12


@pytest.mark.parametrize("name", CASES)
def test_call(name: str) -> None:
    case = CASES[name]
    machine = before()
    if case.memory is not None:
        address, value = case.memory
        machine.uc.mem_write(address, value.to_bytes(4, "little"))
    registers = machine.outcome.registers
    eflags = registers["eflags"]
    decided = ZERO if case.vector == bios.Vector.KEYS else CARRY
    if case.flags is not None:  # the other way round before
        eflags = eflags & ~decided | decided & ~case.flags
    machine.uc.reg_write(ux.UC_X86_REG_EFLAGS, eflags)
    _, after = called(case.vector, case.given)
    assert after.kind == End.HALT, after.detail
    assert after.registers["eip"] == registers["eip"] + 2
    given = {"ebx": 0x1111, "ecx": 0x2222, "edx": 0x3333} | case.given
    wanted = {name: registers[name] for name in CALLERS_OWN} | given | case.changed
    got = {name: after.registers[name] for name in CALLERS_OWN}
    got["eax"] &= 0xFFFF
    assert got == wanted
    if case.flags is None:
        assert after.registers["eflags"] == eflags
    else:
        assert after.registers["eflags"] & decided == case.flags


def test_a_key_is_waited_for() -> None:
    """An interrupt ends a halt, and the wait goes on."""
    machine, after = called(bios.Vector.KEYS, {"eax": 0})
    eip = after.registers["eip"]
    assert after.kind == End.WAIT
    machine.uc.reg_write(ux.UC_X86_REG_EIP, eip + 1)
    machine.uc.reg_write(ux.UC_X86_REG_EFLAGS, int(Eflags.FIXED))
    start = (after.registers["cs"] << 4) + eip + 1
    machine.outcome = Outcome(End.RUNNING)
    again = machine._run(start - (after.registers["cs"] << 4), 100)
    assert (again.kind, again.registers["eip"]) == (End.WAIT, eip)


@pytest.mark.parametrize("polls", [3, None])
def test_teletype_waits_for_the_serial_port(polls: int | None) -> None:
    """And gives up at last where it never gets ready."""
    machine = before()
    serial, read = machine.serial, []
    port_in = serial.port_in

    def busy(port: int, size: int) -> int:
        value = port_in(port, size)
        if port == ports.SERIAL + ports.SERIAL_LSR:
            read.append(port)
            if polls is None:
                machine.uc.reg_write(ux.UC_X86_REG_CX, 2 if len(read) == 1 else 1)
            if polls is None or len(read) <= polls:
                value &= ~ports.SERIAL_LSR_THRE
        return value

    serial.port_in = busy  # type: ignore[method-assign]
    try:
        _, after = called(bios.Vector.VIDEO, {"eax": 0x0E58, "ecx": 1})
    finally:
        serial.port_in = port_in  # type: ignore[method-assign]
    assert after.kind == End.HALT
    assert (after.console, after.serial) == ("X", "X")
    assert len(read) == (2 if polls is None else polls + 1)
    assert after.registers["eax"] == 0x0E58
    machine.console.text = machine.serial.text = ""
