"""Kernels that are not Linux use memory below 1 MiB early: nothing that they get is lost."""

from pathlib import Path

import pytest

from fwbuild.abi import low_memory
from fwbuild.firmware import layout
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.machines import MACHINES
from fwbuild.protocols import PVH
from tests.support.booted import emulated
from tests.support.low_memory import BUILD, CASES


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("kernel, protocol", CASES)
def test_nothing_is_lost(
    kernel: str, protocol: str, machine: str, image: Image, tmp_path: Path
) -> None:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(b"i" * 5000)
    guest = Guest(machine, initrd=initrd, append="a=b c")
    plain = emulated(guest, image.image, kernel=BUILD[protocol]()).run_kernel()
    spoiling = emulated(guest, image.image, kernel=BUILD[protocol](spoils=kernel))
    outcome = spoiling.run_kernel()
    assert (outcome.kind, outcome.exit_value) == ("exit", 1)
    assert outcome.console == plain.console
    spoilt = [s for s in low_memory.SPOILS if (s.kernel, s.protocol) == (kernel, protocol)]
    assert all(set(spoiling.read(s.start, s.end - s.start)) == {0x5A} for s in spoilt)


@pytest.mark.parametrize("place", low_memory.PLACES, ids=lambda place: place.what)
def test_places_are_those_of_others(place: low_memory.Place) -> None:
    ours = {
        "hvm_start_info": layout.address("pvh_area", "start_info"),
        "PVH's memory map": layout.region("memmap").base,
        "the command line": layout.region("cmdline").base,
        "boot_params and setup code": layout.region("setup").base,
    }
    assert ours[place.what] == place.address


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5])
def test_four_zeros_end_the_command_line(length: int, image: Image) -> None:
    """NetBSD's PVH entry copies it up to a 32-bit zero behind a character (locore.S)."""
    machine = emulated(Guest(append="x" * length), image.image)
    at = PVH.read(machine.state()).start_info.cmdline_paddr
    assert machine.read(at, length + 5) == b"x" * length + bytes(5)
