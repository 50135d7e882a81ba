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
from tests.support import cpuid
from tests.support.cpuid import Answer

RDMSR = b"\x0f\x32"
DEFAULT_TYPE = {
    "8 variable ranges": (0x508, 0xC06),  # on, fixed ranges on, write-back
    "one": (0x501, 0xC06),
    "none": (0x500, 0),
    "no fixed ranges": (0x408, 0),
    "one, and no fixed ranges": (0x401, 0),
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


# name: (CPUID's answers, how many bits a mask has; 0 where MTRRs stay off)
CPUS: dict[str, tuple[dict[tuple[int, int], Answer], int]] = {
    "no MTRRs": ({(1, 0): (0, 0, 0, ~(1 << 12) & 0xFFFFFFFF)}, 0),
    "36 bits, without a leaf that says so": ({(1 << 31, 0): (0x80000007, 0, 0, 0)}, 36),
    "43 bits, in a leaf before the last": (
        {(1 << 31, 0): (0x80000020, 0, 0, 0), (0x80000008, 0): (0x302B, 0, 0, 0)}, 43),
    "52 bits": ({(0x80000008, 0): (0x3034, 0, 0, 0)}, 52),
    "39 bits": ({(0x80000008, 0): (0x3027, 0, 0, 0)}, 39),
}  # fmt: skip


@pytest.mark.parametrize("name", CPUS)
def test_cpus(name: str, image: Image, test_kernel: bytes) -> None:
    """SDM volume 3A, 12.11.2.3: a mask has the bits of a physical address, 36 without a leaf."""
    leaves, bits = CPUS[name]
    found = recording.find(Guest())
    machine = Machine(image.image, found, protocols.load(Guest(), found, test_kernel))
    cpuid.answer(machine, leaves)
    assert machine.run().kind == "handoff"
    mask = machine.uc.msr_read(Msr.MTRR_PHYS_MASK0)
    assert mask == ((1 << bits) - (1 << 31) | 0x800 if bits else 0)
    assert machine.uc.msr_read(Msr.MTRR_DEF_TYPE) == (0xC06 if bits else 0)


# Intel SDM volume 3A, table 12-9: RAM is write-back, VGA uncached, ROM write-protected.
FIXED = {
    0x250: 0x0606060606060606,
    0x258: 0x0606060606060606,
    0x259: 0,
    **dict.fromkeys(range(0x268, 0x270), 0x0505050505050505),
}


def test_fixed_ranges(image: Image, test_kernel: bytes) -> None:
    found = recording.find(Guest())
    machine = Machine(image.image, found, protocols.load(Guest(), found, test_kernel))
    machine.uc.msr_write(0x259, (1 << 64) - 1)  # what is there before does not stay
    assert machine.run().kind == "handoff"
    assert {number: machine.uc.msr_read(number) for number in FIXED} == FIXED
