"""What a boot costs from reset to the kernel: README.md's table, which QEMU counted, holds here.
1 MiB of initrd, 512 MiB of RAM, no added devices."""

import re
from pathlib import Path

import pytest

from fwbuild import protocols
from fwbuild.abi import pci
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.guest import Guest
from fwbuild.image.build import build_image
from fwbuild.machines import MACHINES
from tests.support.pci_functions import bridge
from tests.support.pci_machine import run, slot

README = Path(__file__).resolve().parents[2] / "README.md"
# series of QEMU, machine, then accesses and instructions of each template
ROW = re.compile(r"^\| (\d+\.\d+)\.\d+ \| (\w+) \| (\d+), (\d+) \| (\d+), (\d+) \|", re.M)
TEMPLATES = "linux", "universal"
COSTS = {
    (series, machine, template): (int(counts[2 * i]), int(counts[2 * i + 1]))
    for series, machine, *counts in ROW.findall(README.read_text(encoding="utf-8"))
    for i, template in enumerate(TEMPLATES)
}


def test_the_table_has_every_machine() -> None:
    assert {(machine, template) for _, machine, template in COSTS} == {
        (machine, template) for machine in MACHINES for template in TEMPLATES
    }


@pytest.mark.parametrize("series, machine, template", COSTS)
def test_cost(series: str, machine: str, template: str, tmp_path: Path, test_kernel: bytes) -> None:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(bytes(1 << 20))
    guest = Guest(machine, initrd=initrd)
    found = recording.find(Guest(machine), series)
    loaded = protocols.load(guest, found, test_kernel)
    outcome = Machine(build_image(template).image, found, loaded).run()
    assert outcome.kind == "handoff"
    accesses, instructions = COSTS[series, machine, template]
    assert len(outcome.accesses) == accesses
    assert outcome.instructions == pytest.approx(instructions, rel=0.01)


# machine, kind of express port (None: conventional): device accesses that an empty bridge adds
PORT = pci.EXPRESS_TYPE_ROOT_PORT
BRIDGES = {("pc", None): 100, ("pc", PORT): 40, ("q35", None): 55, ("q35", PORT): 25}


@pytest.mark.parametrize("machine, port", BRIDGES)
def test_a_bridge(machine: str, port: int | None) -> None:
    with_it, without = (run(machine, found) for found in ([bridge((slot(3),), port=port)], []))
    added = len(with_it.outcome.accesses) - len(without.outcome.accesses)
    assert added <= BRIDGES[machine, port]
