"""The template that wakes every CPU."""

from dataclasses import replace

import pytest
from unicorn import UC_HOOK_CODE
from unicorn import x86_const as ux

from fwbuild import protocols
from fwbuild.abi import x86
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.firmware import file_names, layout, stop_codes, work
from fwbuild.firmware.layout import ROM
from fwbuild.guest import Guest
from fwbuild.image.build import Image, build_image
from fwbuild.machines import MACHINES
from fwbuild.payloads.test_kernel import build_test_kernel
from fwbuild.protocols import PVH
from tests.support import watch
from tests.support.faults import statement_at
from tests.support.files import put_files, with_cpus


@pytest.fixture(scope="module")
def all_cpus() -> Image:
    return build_image("all-cpus")


def machine_of(name: str, cpus: int, image: Image, there: int = 0) -> Machine:
    found = with_cpus(recording.find(Guest(name)), cpus)
    found = replace(found, smp=there or cpus)
    return Machine(image.image, found, protocols.load(Guest(name), found, build_test_kernel()))


@pytest.mark.parametrize("cpus", [1, 2, 8])
@pytest.mark.parametrize("name", MACHINES)
def test_wakes_every_cpu(name: str, cpus: int, all_cpus: Image) -> None:
    machine = machine_of(name, cpus, all_cpus)
    machine.run()
    assert PVH.judge(machine.state()) == []
    assert len(machine.awake) == cpus - 1
    for registers in machine.awake:
        assert registers["cr0"] & x86.Cr0.PE
        assert registers["eip"] >= ROM.base
        assert {registers[name] for name in ("ds", "es", "ss")} == {x86.SELECTOR_DATA}
        assert not registers["eflags"] & x86.Eflags.IF


def test_another_cpu_has_the_exceptions_of_the_first(all_cpus: Image) -> None:
    machine = machine_of("pc", 2, all_cpus)
    found = {}

    def look(_uc: object, address: int, _size: int, _data: object) -> None:
        found[address] = watch.idtr(machine)

    first = all_cpus.linked.addresses["main"]
    other = statement_at(all_cpus, "smp_cpu", "call mtrr_init")
    for address in (first, other):
        machine.uc.hook_add(UC_HOOK_CODE, look, None, address, address)
    machine.run()
    assert found[first] == found[other]
    assert found[first][0] >= ROM.base


def test_the_apic_is_on_before_it_calls(all_cpus: Image) -> None:
    """Enabled, with the vector that it has at reset. Source: Intel SDM 3A, 10.4.3 and 10.9."""
    machine = machine_of("pc", 2, all_cpus)
    machine.run()
    assert machine.board.apic.read(x86.Apic.SPURIOUS, 4) == 0x1FF


def test_init_comes_before_startup(all_cpus: Image) -> None:
    """To all but this CPU, asserted. Source: Intel SDM 3A, 10.6.1."""
    machine = machine_of("pc", 2, all_cpus)
    machine.run()
    commands = [ipi.command for ipi in machine.board.apic.ipis]
    assert [command & ~0xFF for command in commands] == [0xC4500, 0xC4600]


def test_one_cpu_calls_nobody(all_cpus: Image) -> None:
    machine = machine_of("pc", 1, all_cpus)
    machine.run()
    assert machine.board.apic.ipis == []


def test_more_cpus_cost_no_accesses(all_cpus: Image) -> None:
    two, many = (machine_of("pc", n, all_cpus).run().accesses for n in (2, 255))
    assert len(two) == len(many)


def test_universal_wakes_none(image: Image) -> None:
    machine = machine_of("pc", 4, image)
    machine.run()
    assert machine.awake == []
    assert machine.board.apic.ipis == []


def msrs_written(machine: Machine) -> list[tuple[int, int]]:
    """Run it: the number and the value of each MSR that is written, by every CPU."""
    written = watch.msrs(machine)
    machine.run()
    assert PVH.judge(machine.state()) == []
    return written


def test_feature_control(all_cpus: Image) -> None:
    """Each CPU writes the MSR, and nothing else that the boot CPU does not write."""
    machine = machine_of("q35", 3, all_cpus)
    put_files(machine, {file_names.FEATURE_CONTROL: (5).to_bytes(8, "little")})
    written = msrs_written(machine)
    assert written.count((x86.Msr.FEATURE_CONTROL, 5)) == 3
    third, rest = divmod(len(written), 3)
    assert rest == 0
    assert sorted(written) == sorted(written[:third] * 3)


def test_no_feature_control(all_cpus: Image) -> None:
    """Without the file nobody writes the MSR, which a CPU without VMX does not have."""
    written = msrs_written(machine_of("q35", 2, all_cpus))
    assert written and x86.Msr.FEATURE_CONTROL not in dict(written)


def test_they_take_turns(all_cpus: Image) -> None:
    """A CPU waits while another has the stack."""
    machine = machine_of("pc", 3, all_cpus)
    lock = layout.address("work", "cpu_lock")
    waited = []

    def look(uc: object, address: int, _size: int, _data: object) -> None:
        if address == all_cpus.linked.addresses["smp_cpu"]:
            machine.uc.mem_write(lock, b"\1")
        elif machine.read(address, 2) == b"\xf3\x90":  # pause
            waited.append(address)
            machine.uc.mem_write(lock, bytes([len(waited) % 3 != 0]))

    machine.uc.hook_add(UC_HOOK_CODE, look)
    machine.run()
    assert PVH.judge(machine.state()) == []
    assert (len(machine.awake), len(waited)) == (2, 6)


def test_who_has_the_stack_keeps_the_lock(all_cpus: Image) -> None:
    machine = machine_of("pc", 3, all_cpus)
    lock = layout.address("work", "cpu_lock")
    with_stack = statement_at(all_cpus, "smp_cpu", "call mtrr_init")
    held = []

    def look(uc: object, address: int, _size: int, _data: object) -> None:
        if address == with_stack:
            held.append(machine.read(lock, 4))

    machine.uc.hook_add(UC_HOOK_CODE, look)
    machine.run()
    assert held == [b"\1\0\0\0"] * 2


def test_they_halt_for_good(all_cpus: Image) -> None:
    """A non-maskable interrupt ends a halt."""
    machine = machine_of("pc", 2, all_cpus)
    machine.run()
    (registers,) = machine.awake
    machine.uc.reg_write(ux.UC_X86_REG_EIP, registers["eip"] + 1)
    again = machine.run_kernel()
    assert (again.kind, again.registers["eip"]) == ("halt", registers["eip"])


def test_cpus_that_do_not_wake(all_cpus: Image) -> None:
    """Each look at how many there are leaves them a CPUID's time, which is long under KVM."""
    machine = machine_of("pc", 4, all_cpus, there=2)
    waits: list[int] = []
    pauses: list[int] = []
    watch.on(machine, watch.CPUID, waits.append)
    watch.on(machine, watch.PAUSE, pauses.append)

    def lose_patience(uc: object, address: int, _size: int, _data: object) -> None:
        if machine.uc.reg_read(ux.UC_X86_REG_ECX) == work.CPU_PATIENCE - 10:
            machine.uc.reg_write(ux.UC_X86_REG_ECX, 1)

    machine.uc.hook_add(UC_HOOK_CODE, lose_patience)
    outcome = machine.run()
    looks = max(waits.count(address) for address in waits)
    assert looks >= 10
    assert len(pauses) == looks * work.CPU_PAUSES
    stop = stop_codes.BY_NAME["CPUS"]
    assert outcome.console == f"fwbuild: {stop.code:02x} {stop.what} 00000002\n"
