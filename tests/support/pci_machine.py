"""Machines with PCI functions of one's own, run by the universal image up to the kernel."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from fwbuild import protocols
from fwbuild.abi import e820, x86
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.recording import File, PciFunction
from fwbuild.firmware import file_names
from fwbuild.guest import Guest
from fwbuild.image.build import build_image
from fwbuild.machines import FAMILIES
from fwbuild.payloads.test_kernel import build_test_kernel
from fwbuild.sizes import GIB, MIB
from tests.support import cpuid

INSTRUCTIONS = 20_000_000  # a loop without an end is told
WITH_PCI = pytest.mark.parametrize("name", [f.name for f in FAMILIES if f.config_ports])


def run(
    name: str,
    functions: list[PciFunction],
    *,
    memory: int = 512 * MIB,
    files: tuple[File, ...] = (),
    memmap: bytes = b"",
    poison: int = 0xA5,
    bits: int = 0,
) -> Machine:
    """The machine at the kernel's entry, with `functions` besides the chipset's. `memmap`: an
    etc/e820 that has more than `memory`. RAM is full of `poison` before. `bits`: those of the CPU's
    physical addresses, if not the emulator's 40."""
    guest = Guest(name, memory)
    found = recording.find(guest)
    if memmap:
        found = found.with_files({file_names.E820: memmap})
    found = replace(found, pci=[*found.pci, *functions], files=[*found.files, *files])
    loaded = protocols.load(guest, found, build_test_kernel())
    machine = Machine(build_image().image, found, loaded, poison=poison)
    if bits:
        cpuid.answer(machine, {(x86.CPUID_ADDRESS_SIZES, 0): (0x3000 | bits, 0, 0, 0)})
    outcome = machine.run(INSTRUCTIONS)
    assert outcome.kind == "handoff", outcome.console or outcome
    return machine


def memory_of(ranges: Sequence[tuple[int, int, int]]) -> bytes:
    """An etc/e820 of (address, size, type) each."""
    rows = ({"addr": a, "size": s, "type": t} for a, s, t in ranges)
    return b"".join(e820.ENTRY.build(row) for row in rows)


def above(start: int, end: int) -> bytes:
    """An etc/e820 that leaves these addresses above 4 GiB to PCI."""
    ram, reserved = e820.Type.RAM, e820.Type.RESERVED
    return memory_of([(0, 512 * MIB, ram), (start - GIB, GIB, ram), (end, GIB, reserved)])


def slot(device: int, function: int = 0) -> int:
    return device << 3 | function


def roots(count: int) -> File:
    """The fw_cfg file that announces `count` extra root buses."""
    return File("etc/extra-pci-roots", 0x3000, 8, count.to_bytes(8, "little"))
