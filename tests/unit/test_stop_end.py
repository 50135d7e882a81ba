"""The end of a stop that isa-debug-exit does not end: pvpanic is told, then halt or reset."""

import pytest

from fwbuild.abi import ports, pvpanic
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine, Outcome
from fwbuild.emulator.state import End
from fwbuild.firmware import file_names, layout
from fwbuild.guest import Guest
from fwbuild.image.build import build_image
from fwbuild.machines import MACHINES

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
