"""The end of a stop that isa-debug-exit does not end: pvpanic is told, then halt or reset."""

from dataclasses import replace

import pytest
from unicorn import x86_const as ux

from fwbuild.abi import fw_cfg, pci, ports, pvpanic
from fwbuild.emulator import recording
from fwbuild.emulator.devices import Pvpanic
from fwbuild.emulator.machine import Machine, Outcome
from fwbuild.emulator.state import End
from fwbuild.firmware import file_names, layout
from fwbuild.guest import Guest
from fwbuild.image.build import build_image
from fwbuild.machines import MACHINES
from tests.support.pci_functions import MEMORY, endpoint

ENDS = {"halt": End.HALT, "reset": End.RESET}


def stopped(
    machine: str, files: dict[str, bytes], *, template: str = "universal", **options: str
) -> tuple[Machine, Outcome]:
    """A guest without a kernel and without isa-debug-exit."""
    found = recording.find(Guest(machine))
    found = found.with_files(files)
    board = Machine(build_image(template, **options).image, found)
    for port in board.exit.ports:
        del board.devices[port]
    return board, board.run()


@pytest.mark.parametrize("stop", ENDS)
@pytest.mark.parametrize("template", ["linux", "universal"])
@pytest.mark.parametrize("machine", MACHINES)
def test_end(machine: str, template: str, stop: str) -> None:
    board, outcome = stopped(machine, {}, template=template, stop=stop)
    assert outcome.kind == ENDS[stop], outcome
    assert outcome.console == outcome.serial == "fwbuild: 20 no kernel 00000000\n"
    assert board.pvpanic is None
    if stop == "halt":  # for good: a non-maskable interrupt ends a halt
        eip = outcome.registers["eip"]
        board.uc.reg_write(ux.UC_X86_REG_EIP, eip + 1)
        again = board.run_kernel()
        assert (again.kind, again.registers["eip"], again.accesses) == (End.HALT, eip, [])


@pytest.mark.parametrize("port", [0x505, 0x606, 0xFFFE])
@pytest.mark.parametrize("stop", ENDS)
@pytest.mark.parametrize("machine", MACHINES)
def test_pvpanic(machine: str, stop: str, port: int) -> None:
    """At whatever port the host has it."""
    files = {file_names.PVPANIC_PORT: port.to_bytes(2, "little")}
    board, outcome = stopped(machine, files, stop=stop)
    assert board.pvpanic
    assert board.pvpanic.reported == pvpanic.PANICKED
    assert outcome.kind == ENDS[stop]
    # QEMU gives data at the selector's port as well, but does not promise it
    read = {a.port for a in outcome.accesses if a.direction == "in"}
    assert fw_cfg.PORT_DATA in read and fw_cfg.PORT_SELECTOR not in read


def test_a_pvpanic_that_knows_no_panic(monkeypatch: pytest.MonkeyPatch) -> None:
    """It hears of none."""
    monkeypatch.setattr(Pvpanic, "port_in", lambda self, port, size: ~pvpanic.PANICKED & 0xFF)
    board, outcome = stopped("microvm", {file_names.PVPANIC_PORT: b"\x05\x05"})
    assert board.pvpanic and board.pvpanic.reported == 0
    assert outcome.kind == End.HALT


@pytest.mark.parametrize("devfn", [0x18, 0xFF])
@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_pvpanic_on_pci(machine: str, devfn: int) -> None:
    """It gets an address, and hears there of the panic."""
    found = recording.find(Guest(machine))
    function = endpoint((devfn,), {0: (MEMORY, 4096)})
    config = pvpanic.PCI_ID.to_bytes(4, "little") + function.config[4:]
    found = replace(found, pci=[*found.pci, replace(function, config=config)])
    board = Machine(build_image("linux").image, found)
    for port in board.exit.ports:
        del board.devices[port]
    told: list[tuple[int, int]] = []
    there = board.board.pci.find(0, devfn)
    assert there

    def write(offset: int, size: int, value: int) -> None:
        assert there.read(0x10, 4) == pvpanic.PCI_PLACE
        assert there.read(4, 2) & pci.Command.MEMORY
        told.append((offset, value))

    board.map_mmio(pvpanic.PCI_PLACE, 4096, lambda offset, size: pvpanic.PANICKED, write)
    assert board.run().kind == End.HALT
    assert told == [(0, pvpanic.PANICKED)]


@pytest.mark.parametrize(
    "name", ["etc/pvpanic-por", "etc/pvpanic-port2", "Etc/pvpanic-port", "pvpanic-port"]
)
def test_other_files_are_no_port(name: str) -> None:
    """No byte goes to a port that a file of another name holds."""
    _, outcome = stopped("pc", {name: (0x606).to_bytes(2, "little")})
    assert not [a for a in outcome.accesses if a.port == 0x606]


def test_without_fw_cfg() -> None:
    """A directory of all ones has no entries: the end comes soon, and as it should."""
    found = recording.find(Guest("pc"))
    board = Machine(build_image("universal", stop="reset").image, found)
    for port in (*board.exit.ports, *board.fw_cfg.ports):
        del board.devices[port]
    outcome = board.run()
    assert outcome.kind == End.RESET
    assert outcome.console == "fwbuild: 10 no fw_cfg device ffffffff\n"
    assert not [a for a in outcome.accesses if a.port == ports.SERIAL and a.direction == "in"]


def test_nothing_is_written_but_the_stack() -> None:
    """A stop may come in a guest's RAM: after the handoff, or at a wake."""
    with_port, without = (
        stopped("q35", files)[0] for files in ({file_names.PVPANIC_PORT: b"\x05\x05"}, {})
    )
    assert with_port.writes == without.writes
    assert layout.region("stack").base >> 12 in with_port.writes
