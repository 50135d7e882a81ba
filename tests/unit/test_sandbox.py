"""The sandbox of the stores finds one outside the layout, and says which line made it."""

from dataclasses import dataclass

import pytest

from fwbuild import protocols
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.firmware import layout
from fwbuild.firmware.layout import ROM
from fwbuild.guest import Guest
from fwbuild.image.build import Image

ELSEWHERE = 0x1800000  # RAM that nobody declares


@dataclass
class Case:
    """An address in a line of a routine, which is made ELSEWHERE."""

    routine: str
    text: str  # the line has it
    address: int
    file: str


def address_of(region: str) -> int:
    return layout.region(region).base


CASES = {
    "a store": Case(
        "memmap_build", "mov dword ptr [ram.work.memmap_end]", layout.address("work", "memmap_end"),
        "platform/memmap.s"),
    "a string": Case(
        "memmap_build", "mov edi, region.memmap.base", address_of("memmap"), "platform/memmap.s"),
    "a transfer": Case(
        "memmap_build", "mov edi, region.scratch.base", address_of("scratch"), "lib/fw_cfg.s"),
}  # fmt: skip


def astray(image: Image, case: Case) -> bytes:
    """The image with that address changed."""
    line = next(e for e in image.linked.lines[case.routine] if case.text in e.statement.text)
    at = image.image.index(case.address.to_bytes(4, "little"), line.address - ROM.base)
    assert at < line.address - ROM.base + len(line.code)
    return image.image[:at] + ELSEWHERE.to_bytes(4, "little") + image.image[at + 4 :]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dma", [True, False], ids=["DMA", "port"])
def test_a_stray_store(name: str, dma: bool, image: Image, test_kernel: bytes) -> None:
    case = CASES[name]
    guest = Guest("microvm")
    found = recording.find(guest)
    loaded = protocols.load(guest, found, test_kernel)
    machine = Machine(astray(image, case), found, loaded, dma=dma)
    with pytest.raises(AssertionError, match=f"a store to {ELSEWHERE:#x} by .*{case.file}:"):
        machine.run(limit=20_000)
