"""Whatever PCI answers ends in a handoff that the judge accepts, or in one coded
stop, within 20 million instructions."""

import random
from collections.abc import Callable

import pytest

from fwbuild import protocols
from fwbuild.abi import pci
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.pci.function import Function
from fwbuild.firmware import stop_codes
from fwbuild.guest import Guest
from fwbuild.image.build import build_image
from fwbuild.payloads.test_kernel import build_test_kernel
from tests.support.pci_machine import INSTRUCTIONS, WITH_PCI

STOPS = {f"fwbuild: {stop.code:02x} {stop.what} " for stop in stop_codes.STOPS}
Answer = Callable[[int, int], int]  # (register, bytes): the value read


class Liar(Function):
    """A function whose reads are made up, and whose writes are lost."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def read(self, offset: int, size: int) -> int:
        return self._answer(offset, size) & (1 << 8 * size) - 1

    def write(self, offset: int, size: int, value: int) -> None:
        pass


def header(kind: int, bar: int, rest: int = 0) -> Answer:
    """A header of that type that never changes: `bar` in each BAR, `rest` in all bytes after."""
    config = bytearray([rest]) * pci.CONFIG_SIZE
    config[:16] = bytes.fromhex("34120100 07000000 00000006 0000") + bytes([kind, 0])
    config[0x10:0x28] = bar.to_bytes(4, "little") * 6
    return lambda register, size: int.from_bytes(config[register : register + size], "little")


def varying(seed: int, present: int = 0) -> Answer:
    """Every read is another number; the IDs read `present`, if it is not 0."""
    numbers = random.Random(seed)
    return lambda register, size: (
        present if present and register == 0 else numbers.getrandbits(8 * size)
    )


# name: what the functions in the slots that the machine leaves free read
ANSWERS: dict[str, Answer] = {
    "all ones but the IDs": lambda register, size: 0x11234 if register == 0 else -1,
    "the IDs alone": lambda register, size: 0x11234 if register == 0 else 0,
    "a type that does not exist": header(0x7F, 0xFFFFF000),
    "BARs of 64 bits alone": header(0, 4),
    "BARs of a type alone": header(0, 1),
    "prefetchable BARs of no size": header(0, 8),
    "bridges to bus 0": header(1, 0),
    "bridges whose reads are ones": header(1, 0xFFFFFFFF, 0xFF),
    **{f"other numbers each time, {seed}": varying(seed) for seed in (1, 2)},
    **{f"a device that changes, {seed}": varying(seed, 0x11234) for seed in (1, 2)},
}


def lie(machine: Machine, answer: Answer, buses: int) -> None:
    """Let every function that the machine has not be a liar, on so many buses from bus 0 on."""
    hierarchy = machine.board.pci
    find, liar = hierarchy.find, Liar(answer)

    def lied(number: int, devfn: int) -> Function | None:
        return find(number, devfn) or (liar if number < buses else None)

    hierarchy.find = lied  # type: ignore[method-assign]


@pytest.mark.parametrize("buses", [1, 256])
@pytest.mark.parametrize("answer", ANSWERS)
@WITH_PCI
def test_any_answer_ends(name: str, answer: str, buses: int) -> None:
    guest = Guest(name)
    found = recording.find(guest)
    loaded = protocols.load(guest, found, build_test_kernel())
    machine = Machine(build_image().image, found, loaded)
    lie(machine, ANSWERS[answer], buses)
    outcome = machine.run(INSTRUCTIONS)
    if outcome.kind == "exit":
        *notes, stop = outcome.console.splitlines()
        assert all(note.startswith("fwbuild: no room for PCI ") for note in notes)
        assert any(stop.startswith(words) for words in STOPS), stop
    else:
        assert outcome.kind == "handoff", (outcome.kind, outcome.detail, outcome.instructions)
        assert protocols.judge(machine.state()) == []
