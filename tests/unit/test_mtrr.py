"""The firmware's MTRR setup, on CPUs with and without variable and fixed ranges."""

from typing import Any

import pytest
from unicorn import UC_HOOK_CODE, Uc
from unicorn import x86_const as ux

from fwbuild import protocols
from fwbuild.abi.x86 import Msr
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.guest import Guest
from fwbuild.image.build import Image

RDMSR = b"\x0f\x32"
DEFAULT_TYPE = {
    "8 variable ranges": (0x508, 0xC06),  # on, fixed ranges on, write-back
    "one": (0x501, 0xC06),
    "none": (0x500, 0),
    "no fixed ranges": (0x408, 0),
}


@pytest.mark.parametrize("name", DEFAULT_TYPE)
def test_capabilities(name: str, image: Image, test_kernel: bytes) -> None:
    """MTRRs are left off unless both kinds of ranges are there. SDM volume 3A, 12.11.1."""
    capabilities, default_type = DEFAULT_TYPE[name]
    found = recording.find(Guest())
    machine = Machine(image.image, found, protocols.load(Guest(), found, test_kernel))

    def answer(uc: Uc, address: int, _size: int, _data: Any) -> None:
        """MTRR_CAP is what the instruction before read."""
        wanted = uc.reg_read(ux.UC_X86_REG_ECX) == Msr.MTRR_CAP
        if wanted and machine.read(address - len(RDMSR), len(RDMSR)) == RDMSR:
            uc.reg_write(ux.UC_X86_REG_EAX, capabilities)

    machine.uc.hook_add(UC_HOOK_CODE, answer)
    assert machine.run().kind == "handoff"
    assert machine.uc.msr_read(Msr.MTRR_DEF_TYPE) == default_type
