"""Trace points: nothing of them in an image that has them off, and every stage in one with them."""

import pytest

from fwbuild.abi import acpi
from fwbuild.assembler.audit import audit
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.stages import RESET, count_stages
from fwbuild.errors import FwbuildError
from fwbuild.firmware import file_names, trace
from fwbuild.firmware.trace import Stage
from fwbuild.guest import Guest
from fwbuild.image.build import Image, build_image
from fwbuild.machines import MACHINES
from fwbuild.protocols import PVH, load
from fwbuild.protocols.tables.acpi import entries
from tests.support.sources import link_lines
from tests.support.templates import for_kernels

SYMBOLS = {"trace.PORT": trace.PORT, "trace.Stage.ACPI": int(Stage.ACPI)}
LINES = " mov ecx, 1\n .trace trace.Stage.ACPI\n ret"


@pytest.fixture(scope="module")
def traced() -> Image:
    return build_image("universal", trace=True)


def test_off_it_makes_no_bytes() -> None:
    plain = link_lines(" mov ecx, 1\n ret")
    linked = link_lines(LINES, symbols=SYMBOLS | {"option.trace": 0})
    assert linked.bytes_at(0xFFFF0000, 32) == plain.bytes_at(0xFFFF0000, 32)
    assert linked.trace_points() == {0xFFFF0005: "acpi"}


def test_on_it_writes_its_stage() -> None:
    linked = link_lines(LINES, symbols=SYMBOLS | {"option.trace": 1})
    code = linked.bytes_at(0xFFFF0000, 12)
    number, port = int(Stage.ACPI), trace.PORT
    # mov ecx, 1; push eax; mov al, n; out port, al; pop eax; ret
    assert code == bytes([0xB9, 1, 0, 0, 0, 0x50, 0xB0, number, 0xE6, port, 0x58, 0xC3])


@pytest.mark.parametrize("line", [" .trace", " .trace 5", " .trace trace.Stage.NONE"])
def test_bad_trace_point(line: str) -> None:
    with pytest.raises(FwbuildError):
        link_lines(f"{line}\n ret", symbols=SYMBOLS | {"option.trace": 1})


def test_stages_are_told_apart(image: Image) -> None:
    names = list(image.linked.trace_points().values())
    assert len(set(Stage)) == len(Stage)
    assert len(names) == len(set(names))
    assert set(names) <= {stage.name.lower() for stage in Stage}


@pytest.mark.parametrize("name", for_kernels())
def test_a_traced_image_keeps_its_contracts(name: str) -> None:
    assert audit(build_image(name, trace=True).linked) == []


@pytest.mark.parametrize("name", MACHINES)
def test_a_traced_image_hands_over_the_same(
    name: str, image: Image, traced: Image, test_kernel: bytes
) -> None:
    guest = Guest(name)
    found = recording.find(guest)
    loaded = load(guest, found, test_kernel)
    handoffs, outcomes = [], []
    for each in (image, traced):
        machine = Machine(each.image, found, loaded)
        outcomes.append(machine.run())
        handoffs.append(PVH.read(machine.state()).plain())
    assert handoffs[0] == handoffs[1]
    written = [a.value for a in outcomes[1].accesses if a.port == trace.PORT]
    assert written[0] == Stage.START and written[-1] == Stage.HANDOFF
    assert len(written) == len(set(written))
    assert trace.PORT not in {a.port for a in outcomes[0].accesses}
    assert len(outcomes[1].accesses) == len(outcomes[0].accesses) + len(written)
    assert outcomes[1].instructions == outcomes[0].instructions + 4 * len(written)
    # the counts of the stages are of the same stages, and add up
    outcome, counts = count_stages(image, found, loaded)
    assert [c.stage for c in counts] == [RESET, *(Stage(w).name.lower() for w in written)]
    assert sum(c.accesses for c in counts) == len(outcomes[0].accesses) == len(outcome.accesses)
    assert sum(c.instructions for c in counts) == outcomes[0].instructions
    # what the host's script adds up, an instruction a byte, and little more
    script = found.file(file_names.TABLE_LOADER)
    assert script
    lengths = sum(e.length for e in entries(script.data) if e.command == acpi.Command.ADD_CHECKSUM)
    inside = next(c for c in counts if c.stage == "acpi").in_checksums
    assert lengths < inside < lengths * 1.15
    assert next(c for c in counts if c.stage == "files").accesses == 1  # the directory, by DMA
