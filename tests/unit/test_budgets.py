"""Budgets of a boot from reset to the kernel: 1 MiB of initrd, 512 MiB of RAM, no added devices."""

from pathlib import Path

import pytest

from fwbuild import protocols
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.guest import Guest
from fwbuild.image.build import build_image

# template, machine: (device accesses, instructions, those of ACPI's checksums included)
BUDGETS = {
    ("linux", "microvm"): (16, 2_550),
    ("linux", "pc"): (30, 9_600),
    ("linux", "q35"): (30, 12_000),
    ("universal", "microvm"): (14, 3_000),
    ("universal", "pc"): (120, 14_000),
    ("universal", "q35"): (89, 17_000),
}
# What the checksums of a later QEMU's larger tables add: pc's DSDT is 2.2 KB larger since 10.0.
LARGER_TABLES = {
    ("10.0", "pc"): 2_300,
    ("11.1", "pc"): 2_300,
    ("10.0", "q35"): 150,
    ("11.1", "q35"): 150,
}


@pytest.mark.parametrize("release", recording.packaged_series())
@pytest.mark.parametrize("template, machine", BUDGETS)
def test_budget(
    template: str, machine: str, release: str, tmp_path: Path, test_kernel: bytes
) -> None:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(bytes(1 << 20))
    guest = Guest(machine, initrd=initrd)
    found = recording.find(Guest(machine), release)
    loaded = protocols.load(guest, found, test_kernel)
    outcome = Machine(build_image(template).image, found, loaded).run()
    assert outcome.kind == "handoff"
    accesses, instructions = BUDGETS[template, machine]
    assert len(outcome.accesses) <= accesses
    allowed = instructions + LARGER_TABLES.get((release, machine), 0)
    assert outcome.instructions + outcome.repeats <= allowed
