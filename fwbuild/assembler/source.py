"""Reads assembly sources into fragments: a labelled routine or data item each.

The language is GNU as's Intel syntax without prefix, cut down to what is checked:
`name:` opens a fragment, `.name:` is a label inside it, `#` starts a comment; directives are
.code16 .code32 .code64, .byte .word .long .quad, .ascii .asciz, .if .else .endif,
.rept .endr with `\\+` for the number of the repetition, .macro NAME PARAMETERS .endm, used as
`.NAME ARGUMENTS`, with `\\PARAMETER` in the lines between, and .att for the few instructions that
keystone only encodes right in AT&T syntax. `.farjmp SELECTOR, TARGET` jumps to a 32-bit offset.
The fragments between .group NAME and .endgroup stay together, in their order; `group.NAME.base`,
`.size` and `.end` are symbols.
A fragment's contract is the block of `#:` lines above its label (see contract.py).
"""

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fwbuild.assembler.contract import Contract, parse_contract
from fwbuild.assembler.expression import FUNCTIONS, ExpressionError, evaluate
from fwbuild.assembler.macro import Macro, Macros
from fwbuild.assembler.operand import REGISTERS, SIZES, split
from fwbuild.errors import ExitCode, FwbuildError

LABEL = re.compile(r"(\.?[a-z_][a-z0-9_]*):$")
GROUP = re.compile(r"\.group ([a-z_][a-z0-9_]*)")
TRACE = re.compile(r"\.trace (trace\.Stage\.[A-Z_0-9]+)")
TRACE_LABEL = ".trace_"
INSTRUCTION = re.compile(r"[a-z][a-z0-9]*( .+)?$")
DATA_SIZES = {".byte": 1, ".word": 2, ".long": 4, ".quad": 8}
COMMENT = re.compile(r"""^((?>[^"'#]|"(?:[^"\\]|\\.)*"|'[^'"]{1,4}'|')*+)#.*""")
RESERVED = frozenset((*REGISTERS, *SIZES, *FUNCTIONS, "ptr", "short", "rep", "lock"))
MACRO_DEPTH = 4
BITS = {".code16": 16, ".code32": 32, ".code64": 64}


@dataclass(frozen=True)
class Statement:
    """One line that makes bytes, or a local label (kind "label")."""

    file: str
    line: int
    text: str
    bits: int
    kind: str  # "instruction", "att", "farjmp", "data", "string", "bytes", "label"
    payload: bytes = b""

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"

    def error(self, what: str, hint: str = "") -> FwbuildError:
        """An assembly error that shows this line."""
        return FwbuildError(
            ExitCode.ASSEMBLY, f"{what} in '{self.text}'", where=self.where, hint=hint
        )


@dataclass
class Fragment:
    """A routine or a data item: the unit that the linker places or leaves out."""

    name: str
    contract: Contract
    file: str
    line: int
    group: str = ""  # the fragments of a group are placed together
    statements: list[Statement] = field(default_factory=list)


def data_fragment(name: str, payload: bytes, what: str) -> Fragment:
    """A data item whose bytes Python has made from a declaration."""
    contract = Contract(title=what, kind="data")
    statement = Statement("<generated>", 0, name, 32, "bytes", payload)
    return Fragment(name, contract, "<generated>", 0, statements=[statement])


def strip_comment(line: str) -> str:
    """The line without its `#` comment; a # inside a string stays."""
    return re.sub(COMMENT, r"\1", line).strip()


class _Reader:
    """The state of reading one file."""

    def __init__(self, file: str, symbols: Mapping[str, int], macros: Macros) -> None:
        self.file = file
        self.symbols = symbols
        self.macros = macros
        self.macro: Macro | None = None  # the one whose definition is being read
        self.depth = 0  # of macros in macros
        self.group = ""
        self.fragments: list[Fragment] = []
        self.bits = 32
        self.header: list[str] = []
        self.conditions: list[bool] = []
        self.repeat: tuple[int, list[tuple[int, str]]] | None = None

    def error(self, number: int, what: str, text: str) -> FwbuildError:
        return FwbuildError(ExitCode.ASSEMBLY, f"{what} in '{text}'", where=f"{self.file}:{number}")

    def line(self, number: int, raw: str) -> None:
        if raw.lstrip().startswith("#:"):
            if all(self.conditions):
                self.header.append(raw.strip()[2:].strip())
            return
        text = strip_comment(raw)
        if '"' not in text:
            text = " ".join(text.split())
        if not text or (all(self.conditions) and self.definition(number, text)):
            return
        if self.condition(number, text) or not all(self.conditions):
            return
        if self.repetition(number, text):
            return
        if self.grouping(number, text) or self.expansion(number, text):
            return
        if text in BITS:
            self.bits = BITS[text]
        elif match := LABEL.fullmatch(text):
            self.label(number, match[1])
        elif match := TRACE.fullmatch(text):
            self.trace(number, match[1])
        else:
            self.statement(number, text)

    def condition(self, number: int, text: str) -> bool:
        word, _, rest = text.partition(" ")
        if word == ".if":
            try:
                self.conditions.append(bool(evaluate(rest, self.symbols)))
            except ExpressionError as error:
                raise self.error(number, str(error), text) from None
        elif word in (".else", ".endif"):
            if not self.conditions:
                raise self.error(number, f"{word} without .if", text)
            top = self.conditions.pop()
            if word == ".else":
                self.conditions.append(not top)
        else:
            return False
        return True

    def repetition(self, number: int, text: str) -> bool:
        """Collect the lines from .rept to .endr, then read them again and again."""
        word, _, rest = text.partition(" ")
        if word == ".rept" and self.repeat is None:
            try:
                self.repeat = evaluate(rest, self.symbols), []
            except ExpressionError as error:
                raise self.error(number, str(error), text) from None
        elif word == ".endr" and self.repeat is not None:
            (count, lines), self.repeat = self.repeat, None
            for i in range(count):
                for line, body in lines:
                    self.line(line, body.replace("\\+", str(i)))
        elif self.repeat is not None and word != ".rept":
            self.repeat[1].append((number, text))
        else:
            if word in (".rept", ".endr"):
                raise self.error(number, "misplaced", text)
            return False
        return True

    def definition(self, number: int, text: str) -> bool:
        """Collect the lines from .macro to .endm."""
        word, _, rest = text.partition(" ")
        if word == ".macro":
            if self.macro is not None or self.repeat is not None:
                raise self.error(number, "misplaced", text)
            self.macro = Macro.parse(rest)
            if self.macro is None or self.macro.name in self.macros:
                raise self.error(number, "not a new macro", text)
            self.macros[self.macro.name] = self.macro
        elif word == ".endm" and self.macro is not None:
            self.macro = None
        elif self.macro is not None:
            self.macro.lines.append(text)
        else:
            return False
        return True

    def expansion(self, number: int, text: str) -> bool:
        """Read a macro's lines in the place of its use."""
        word, _, rest = text.partition(" ")
        macro = self.macros.get(word.removeprefix("."))
        if macro is None or not word.startswith("."):
            return False
        arguments = split(rest)
        if len(arguments) != len(macro.parameters):
            raise self.error(number, f"not {len(macro.parameters)} arguments", text)
        if self.depth == MACRO_DEPTH:
            raise self.error(number, "macros that use each other without end", text)
        self.depth += 1
        for body in macro.expand(arguments):
            self.line(number, body)
        self.depth -= 1
        return True

    def grouping(self, number: int, text: str) -> bool:
        match = GROUP.fullmatch(text)
        if match is None and text != ".endgroup":
            return False
        if bool(match) == bool(self.group):
            raise self.error(number, "misplaced", text)
        self.group = match[1] if match else ""
        return True

    def label(self, number: int, name: str) -> None:
        if name.startswith("."):
            self.add(Statement(self.file, number, name, self.bits, "label"))
            return
        if name in RESERVED or keyword.iskeyword(name):
            raise self.error(number, "a reserved word cannot be a label", name)
        if not self.header:
            raise self.error(number, "no contract (`#:` lines) above the label", name)
        contract = parse_contract(self.header, f"{self.file}:{number}")
        self.header = []
        self.fragments.append(Fragment(name, contract, self.file, number, self.group))

    def trace(self, number: int, stage: str) -> None:
        """A trace point, which keeps every register as it is."""
        self.label(number, TRACE_LABEL + stage.rpartition(".")[2].lower())
        if self.symbols.get("option.trace"):
            for text in ("push eax", f"mov al, {stage}", "out trace.PORT, al", "pop eax"):
                self.statement(number, text)

    def statement(self, number: int, text: str) -> None:
        word = text.split(maxsplit=1)[0]
        if word in DATA_SIZES:
            kind = "data"
        elif word in (".ascii", ".asciz"):
            kind = "string"
        elif word in (".farjmp", ".att"):
            kind = word[1:]
        elif word.startswith(".") or not INSTRUCTION.fullmatch(text) or ";" in text:
            raise self.error(number, "neither a directive nor an instruction", text)
        else:
            kind = "instruction"
        self.add(Statement(self.file, number, text, self.bits, kind))

    def add(self, statement: Statement) -> None:
        if self.header:
            raise statement.error("a contract belongs directly above its label")
        if not self.fragments:
            raise statement.error("code before the first label")
        self.fragments[-1].statements.append(statement)


def parse(
    file: str, text: str, symbols: Mapping[str, int], macros: Macros | None = None
) -> list[Fragment]:
    """The fragments of one source. `file` is the name that errors and listings show;
    `symbols` are the constants that .if may ask for; `macros` are those of the sources before,
    to which this one adds its own."""
    reader = _Reader(file, symbols, {} if macros is None else macros)
    for number, raw in enumerate(text.splitlines(), 1):
        reader.line(number, raw)
    if reader.header:
        raise FwbuildError(ExitCode.ASSEMBLY, "a contract without a label below it", where=file)
    if reader.repeat is not None:
        raise FwbuildError(ExitCode.ASSEMBLY, ".rept without .endr", where=file)
    if reader.conditions:
        raise FwbuildError(ExitCode.ASSEMBLY, ".if without .endif", where=file)
    if reader.macro is not None:
        raise FwbuildError(ExitCode.ASSEMBLY, ".macro without .endm", where=file)
    if reader.group:
        raise FwbuildError(ExitCode.ASSEMBLY, ".group without .endgroup", where=file)
    return reader.fragments
