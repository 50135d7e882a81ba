"""Small changes of the program: a branch flipped, an instruction dropped, a constant changed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from capstone import CsInsn

from fwbuild.assembler.link import Encoded
from fwbuild.firmware.layout import ROM
from fwbuild.image.build import Image
from tests.support.coverage.places import DECODERS, Line, Places

NOP = b"\x90"
FLIP, DROP, CONSTANT = "flip", "drop", "constant"


@dataclass(frozen=True, order=True)
class Mutant:
    """One change: it is made at each place where an image has the statement."""

    line: Line
    kind: str

    def __str__(self) -> str:
        line = self.line
        return f"{line.file}:{line.line}: {self.kind}: {line.text} ({line.routine})"


def _decode(encoded: Encoded) -> CsInsn:
    bits = encoded.statement.bits
    return next(DECODERS[bits].disasm(encoded.code, encoded.address))


def _flip(encoded: Encoded) -> bytes | None:
    """The opposite condition: the low bit of the opcode. LOOP and JECXZ have no opposite."""
    code = bytearray(encoded.code)
    at = 0
    while code[at] in (0x66, 0x67):
        at += 1
    if code[at] == 0x0F:
        at += 1
        conditional = code[at] & 0xF0 in (0x80, 0x90, 0x40)  # Jcc, SETcc, CMOVcc
    else:
        conditional = code[at] & 0xF0 == 0x70
    code[at] ^= 1
    return bytes(code) if conditional else None


def _drop(encoded: Encoded) -> bytes:
    return NOP * len(encoded.code)


def _constant(encoded: Encoded) -> bytes | None:
    """One more than the immediate operand, or else than the displacement; no branch's."""
    instruction = _decode(encoded)
    encoding = instruction.encoding
    if instruction.mnemonic.startswith(("j", "loop", "call", "ljmp")):
        return None
    offset, size = encoding.imm_offset, encoding.imm_size
    if not offset:
        offset, size = encoding.disp_offset, encoding.disp_size
    if not offset:
        return None
    code = bytearray(encoded.code)
    value = int.from_bytes(code[offset : offset + size], "little") + 1
    code[offset : offset + size] = (value % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(code)


CHANGES = {FLIP: _flip, DROP: _drop, CONSTANT: _constant}


def mutants(images: Iterable[Image]) -> Iterator[Mutant]:
    """Every change of every statement of some images."""
    found = set()
    for image in images:
        for encoded, line in Places(image).at.values():
            found |= {Mutant(line, kind) for kind, change in CHANGES.items() if change(encoded)}
    yield from sorted(found)


def mutated(image: Image, mutant: Mutant) -> Image:
    """The image with the change, wherever it has the statement."""
    data = bytearray(image.image)
    for encoded, line in Places(image).at.values():
        if line == mutant.line and (code := CHANGES[mutant.kind](encoded)):
            at = encoded.address - ROM.base
            data[at : at + len(code)] = code
    return replace(image, image=bytes(data))
