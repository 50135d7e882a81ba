"""Operands: what a line asks for, with its expressions computed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from fwbuild.assembler.expression import ExpressionError, evaluate

SIZES = {"byte": 1, "word": 2, "dword": 4}
GENERAL = {
    1: "al cl dl bl ah ch dh bh",
    2: "ax cx dx bx sp bp si di",
    4: "eax ecx edx ebx esp ebp esi edi",
}
REGISTERS = {name: size for size, names in GENERAL.items() for name in names.split()}
REGISTERS |= dict.fromkeys("cs ds es fs gs ss".split(), 2)
REGISTERS |= dict.fromkeys("cr0 cr2 cr3 cr4".split(), 4)
BRANCHES = frozenset("jmp call loop loope loopne jecxz jcxz".split())
MEMORY = re.compile(
    r"(?:(?P<size>byte|word|dword) ptr )?(?:(?P<segment>[c-g]s|ss):)?\[(?P<inner>.+)\]"
)
INDEX = re.compile(r"(?P<reg>[a-z]\w+)(?:\s*\*\s*(?P<scale>[1248]))?")


@dataclass(frozen=True)
class Register:
    name: str

    def text(self) -> str:
        return self.name


@dataclass(frozen=True)
class Immediate:
    value: int

    def text(self) -> str:
        return f"{self.value:#x}"


@dataclass(frozen=True)
class Memory:
    """`size` bytes (0: unsaid) at [segment: base + index * scale + displacement]."""

    size: int
    segment: str
    base: str
    index: str
    scale: int
    displacement: int

    def text(self) -> str:
        size = next((f"{k} ptr " for k, v in SIZES.items() if v == self.size), "")
        segment = f"{self.segment}:" if self.segment else ""
        parts = [self.base] if self.base else []
        if self.index:
            short = REGISTERS[self.index] == 2  # 16-bit addresses have no scale to write
            parts.append(self.index if short else f"{self.index}*{self.scale}")
        if not parts:
            return f"{size}{segment}[{self.displacement:#x}]"
        signed = (self.displacement + 0x80000000) % 0x100000000 - 0x80000000
        tail = f" {'-' if signed < 0 else '+'} {abs(signed):#x}" if signed else ""
        return f"{size}{segment}[{' + '.join(parts)}{tail}]"


Operand = Register | Immediate | Memory


def is_branch(mnemonic: str) -> bool:
    """Whether an immediate operand of `mnemonic` is a target relative to the next line."""
    return mnemonic in BRANCHES or (mnemonic[:1] == "j" and mnemonic != "jmp")


@cache
def split(text: str) -> tuple[str, ...]:
    """The comma-separated operands of a line; commas inside brackets do not count."""
    parts, depth = [""], 0
    for char in text:
        depth += (char in "[(") - (char in "])")
        if char == "," and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return tuple(part.strip() for part in parts if part.strip())


def parse(text: str, symbols: Mapping[str, int]) -> Operand:
    """The operand that `text` says; raises ExpressionError."""
    if text in REGISTERS:
        return Register(text)
    if match := MEMORY.fullmatch(text):
        return _memory(match, symbols)
    return Immediate(evaluate(text, symbols))


def _memory(match: re.Match[str], symbols: Mapping[str, int]) -> Memory:
    base = index = ""
    scale = 1
    constant = "0"
    for sign, term in re.findall(r"([+-]?)\s*((?:\([^)]*\)|[^+\-(])+)", match["inner"]):
        found = INDEX.fullmatch(term.strip())
        if found and found["reg"] in REGISTERS and sign != "-":
            if not found["scale"] and not base:
                base = found["reg"]
            elif index:
                raise ExpressionError(f"too many registers in '[{match['inner']}]'")
            else:
                index, scale = found["reg"], int(found["scale"] or 1)
        else:
            constant += f" {sign or '+'} {term}"
    if index and REGISTERS[index] == 2 and (scale != 1 or not base):
        raise ExpressionError(f"16-bit addresses have no scale: '[{match['inner']}]'")
    size = SIZES.get(match["size"] or "", 0)
    displacement = evaluate(constant, symbols)
    return Memory(size, match["segment"] or "", base, index, scale, displacement)
