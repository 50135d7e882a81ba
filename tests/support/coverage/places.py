"""The line of the assembly at an address of an image, wherever the firmware has copied it."""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from capstone import CS_ARCH_X86, CS_MODE_16, CS_MODE_32, CS_MODE_64, Cs
from capstone.x86 import X86_OP_IMM

from fwbuild.abi import e820
from fwbuild.assembler.link import CODE, Encoded
from fwbuild.firmware.layout import ROM
from fwbuild.image.build import Image
from fwbuild.image.copies import Copy, copies

ALIAS = e820.EXTENDED - ROM.size  # the same bytes below 1 MiB
MODES = {16: CS_MODE_16, 32: CS_MODE_32, 64: CS_MODE_64}
DECODERS = {bits: Cs(CS_ARCH_X86, mode) for bits, mode in MODES.items()}
for _decoder in DECODERS.values():
    _decoder.detail = True
ALWAYS = ("jmp", "ljmp")  # the jumps without a condition


class Line(NamedTuple):
    """A statement of the source, the same in every image. A macro's have the line of its use."""

    file: str
    line: int
    text: str
    routine: str


class Direction(NamedTuple):
    """One of the two ways on from a conditional branch."""

    line: Line
    taken: bool


def decode(code: bytes, bits: int, address: int) -> tuple[str, int | None]:
    """(mnemonic, target) of one instruction; a target for a direct branch."""
    instruction = next(DECODERS[bits].disasm(code, address))
    name = instruction.mnemonic
    if name.startswith(("j", "loop")) and instruction.operands[0].type == X86_OP_IMM:
        return name, instruction.operands[0].imm
    return name, None


class Places:
    """An image's statements by address."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.at: dict[int, tuple[Encoded, Line]] = {}
        for name, lines in image.linked.lines.items():
            for encoded in lines:
                statement = encoded.statement
                if statement.kind in CODE:
                    line = Line(statement.file, statement.line, statement.text, name)
                    self.at[encoded.address] = encoded, line
        self.copies = [Copy(ROM.base, ALIAS, ROM.size), *copies(image.linked)]

    def home(self, address: int) -> int:
        """The address in the ROM of what runs at `address`."""
        for copy in self.copies:
            if copy.to <= address < copy.to + copy.size:
                return address - copy.to + copy.start
        return address

    def lines(self, start: int, end: int) -> Iterator[tuple[Encoded, Line]]:
        """The statements that begin in [start, end) of the ROM."""
        if not ROM.base <= start < ROM.end:
            return
        for address in range(start, end):
            if address in self.at:
                yield self.at[address]

    @cached_property
    def targets(self) -> dict[int, int]:
        """The target of each conditional branch, by the branch's address."""
        found = {}
        for address, (encoded, _) in self.at.items():
            name, target = decode(encoded.code, encoded.statement.bits, address)
            if target is not None and name not in ALWAYS:
                found[address] = target
        return found

    def direction(self, start: int, end: int, following: int) -> Direction | None:
        """The way that a block [start, end) of the ROM went on to `following`."""
        last = next((at for at in range(end - 1, start - 1, -1) if at in self.at), None)
        if last is None or last not in self.targets:
            return None
        line = self.at[last][1]
        if following == end:
            return Direction(line, False)
        if (following - self.targets[last]) & 0xFFFF == 0:  # 16-bit code has short addresses
            return Direction(line, True)
        return None
