"""Encodes one instruction with keystone, and believes nothing it says.

Keystone sees a line only after our own parser has computed every constant, so that none of
its symbol, radix and operator traps is reachable; check.py then reads the bytes back.
Branches are encoded relative to a low base: keystone picks the short form only there.
"""

import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

from keystone import KS_ARCH_X86, KS_MODE_16, KS_MODE_32, KS_MODE_64, Ks, KsError

from fwbuild.assembler import operand
from fwbuild.assembler.check import difference
from fwbuild.assembler.expression import ExpressionError, evaluate
from fwbuild.assembler.source import Statement
from fwbuild.errors import ExitCode

MODES = {16: KS_MODE_16, 32: KS_MODE_32, 64: KS_MODE_64}
BRANCH_BASE = 0x10000000
# String instructions that keystone's Intel parser lacks; AT&T's letter for the size.
ATT_STRINGS = {"movsd": "movsl", "cmpsd": "cmpsl"}
NEAR32 = re.compile(rb"\x66(?:[\xe8\xe9]|\x0f[\x80-\x8f]).{4}$", re.DOTALL)
MNEMONIC = re.compile(r"[a-z][a-z0-9]*")
BRACES = re.compile(r"\{([^}]*)\}")
LOOK_SECONDS = 0.5  # between two looks of the watchdog
PREFIXES = ("rep", "repe", "repne", "lock")
# What an .att line may hold once it is computed: anything else might never come back.
ATT_OPERAND = (
    r"\*?(?:%[c-g]s:|%ss:)?(?:-?0x[0-9a-f]+)?(?:\((?:%[a-z0-9]+)?(?:,%[a-z0-9]+(?:,[1248])?)?\))?"
    r"|\*?%[a-z0-9]+|\$-?0x[0-9a-f]+"
)
ATT = re.compile(rf"[a-z][a-z0-9]*(?: [a-z]+)?(?: (?:{ATT_OPERAND})(?:, ?(?:{ATT_OPERAND}))*)?")


def split_mnemonic(text: str) -> tuple[str, str, str]:
    """(prefix, mnemonic, operands) of an instruction's text."""
    word, _, rest = text.partition(" ")
    if word in PREFIXES:
        mnemonic, _, operands = rest.partition(" ")
        return word, mnemonic, operands
    return "", word, rest


def _near16(line: Statement, code: bytes, distance: int) -> bytes:
    """A 16-bit near branch, which keystone only knows in its 32-bit form (66, rel32)."""
    if not NEAR32.match(code):
        return code
    opcode = code[1:-4]
    relative = distance - len(opcode) - 2
    if not -0x8000 <= relative < 0x8000:
        raise line.error("the target is beyond 32 KiB")
    return opcode + (relative % 0x10000).to_bytes(2, "little")


class Encoder:
    """Keystone for the three modes, with a watchdog. All of them share what one has encoded: an
    instruction's bytes depend on its canonical text alone."""

    _cache: ClassVar[dict[tuple[int, str, bool], bytes]] = {}

    def __init__(self) -> None:
        self._ks = {bits: Ks(KS_ARCH_X86, mode) for bits, mode in MODES.items()}
        self._current = ""

    @contextmanager
    def watchdog(self, seconds: float) -> Iterator[None]:
        """Ends the process when keystone does not come back: its loops cannot be interrupted. The
        seconds are of CPU time, for a busy host only takes longer."""
        limit = time.process_time() + seconds
        done = threading.Event()

        def watch() -> None:
            while not done.wait(LOOK_SECONDS):
                if time.process_time() > limit:
                    text = f"fwbuild: error: {self._current}: the assembler did not return\n"
                    os.write(sys.stderr.fileno(), text.encode())
                    os._exit(ExitCode.ASSEMBLY)

        threading.Thread(target=watch, daemon=True).start()
        try:
            yield
        finally:
            done.set()

    def canonical(self, line: Statement, symbols: Mapping[str, int], address: int) -> str:
        """The instruction with every expression computed; a branch target is `. + distance`."""
        try:
            if line.kind == "att":
                return self._att(line, symbols)
            prefix, mnemonic, rest = split_mnemonic(line.text)
            if not MNEMONIC.fullmatch(mnemonic):  # keystone does not come back from `rep )`
                raise line.error("no mnemonic")
            operands = [operand.parse(text, symbols) for text in operand.split(rest)]
        except ExpressionError as error:
            raise line.error(str(error)) from None
        texts = [item.text() for item in operands]
        if operand.is_branch(mnemonic) and not operands:
            raise line.error("a branch to nowhere")
        if operand.is_branch(mnemonic) and isinstance(operands[0], operand.Immediate):
            texts = [f". + {operands[0].value - address:#x}"]
        return " ".join(filter(None, (prefix, mnemonic, ", ".join(texts))))

    @staticmethod
    def _att(line: Statement, symbols: Mapping[str, int]) -> str:
        rest = line.text.removeprefix(".att").strip()
        text = BRACES.sub(lambda m: f"{evaluate(m[1], symbols):#x}", rest)
        if not ATT.fullmatch(text):
            raise line.error("no instruction in AT&T syntax", hint="constants go into {}")
        return text

    def encode(
        self, line: Statement, symbols: Mapping[str, int], address: int
    ) -> tuple[bytes, str]:
        """The bytes of an instruction at `address`, and its canonical text; raises FwbuildError."""
        text = self.canonical(line, symbols, address)
        key = (line.bits, text, line.kind == "att")
        if key not in self._cache:
            self._current = f"{line.where}: '{line.text}'"
            self._cache[key] = self._encode(line, text)
        return self._cache[key], text

    def _encode(self, line: Statement, text: str) -> bytes:
        if line.kind == "att":
            code = self._keystone(line, f".att_syntax\n{text}\n.intel_syntax noprefix")
            wanted = None
        else:
            prefix, mnemonic, rest = split_mnemonic(text)
            spelled = text
            if "." in rest:
                distance = int(rest.removeprefix(". + "), 16)
                rest = f"{BRANCH_BASE + distance:#x}"
                spelled = f"{mnemonic} {rest}"
            if mnemonic in ATT_STRINGS:
                spelled = f".att_syntax\n{prefix} {ATT_STRINGS[mnemonic]}\n.intel_syntax noprefix"
            code = self._keystone(line, spelled)
            if line.bits == 16 and "." in text:
                code = _near16(line, code, distance)
            wanted = (prefix, mnemonic, [operand.parse(o, {}) for o in operand.split(rest)])
        problem = difference(code, line.bits, BRANCH_BASE, wanted)
        if problem:
            raise line.error(f"keystone's encoding {code.hex()} is wrong: {problem}")
        return code

    def _keystone(self, line: Statement, text: str) -> bytes:
        try:
            code, _ = self._ks[line.bits].asm(text, BRANCH_BASE, True)
        except KsError as error:
            raise line.error(f"keystone: {error}") from None
        if not code:
            raise line.error("keystone gives no bytes")
        return bytes(code)
