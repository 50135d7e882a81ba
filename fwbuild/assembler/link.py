"""Gives every fragment its address and its bytes.

Starting at the entry fragment it follows the symbols that each line names; what nothing
reaches is left out of the image. Sizes depend on addresses (short branches), so placing and
encoding repeat until no address moves.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fwbuild.assembler.encoder import Encoder, split_mnemonic
from fwbuild.assembler.expression import ExpressionError, evaluate
from fwbuild.assembler.source import DATA_SIZES, TRACE_LABEL, Fragment, Statement
from fwbuild.errors import ExitCode, FwbuildError

WATCHDOG_SECONDS = 20.0
ROUNDS = 32
NAME = re.compile(r"(?<![\w.])[a-z_][a-z0-9_]*(?![\w.])")
LARGEST_ALIGN = 4096
PAD_CODE = 0xCC  # int3: running into padding must not go on silently
ENDS = frozenset("jmp jmpl ljmpl ret retf retw retl lretw lretl iret iretd iretw iretl hlt".split())

# Where each fragment of a list goes, from the sizes: name -> address.
Place = Callable[[Sequence[Fragment], Mapping[str, int]], dict[str, int]]


@dataclass(frozen=True)
class Encoded:
    """One statement in the image: its address, its bytes, and its text with numbers."""

    statement: Statement
    address: int
    code: bytes
    canonical: str


@dataclass
class Linked:
    """The linked program, fragments in address order. `labels` are the local labels of each
    fragment, as offsets from its start."""

    fragments: list[Fragment]
    addresses: dict[str, int]
    lines: dict[str, list[Encoded]] = field(default_factory=dict)
    labels: dict[str, dict[str, int]] = field(default_factory=dict)

    def size(self, name: str) -> int:
        """Bytes of a fragment."""
        return sum(len(line.code) for line in self.lines[name])

    def trace_points(self) -> dict[int, str]:
        """The address of each trace point, and its stage's name in lower case."""
        return {
            self.addresses[name] + offset: label.removeprefix(TRACE_LABEL)
            for name, labels in self.labels.items()
            for label, offset in labels.items()
            if label.startswith(TRACE_LABEL)
        }

    def bytes_at(self, base: int, size: int) -> bytes:
        """The memory [base, base + size): the code, and zeros between fragments."""
        memory = bytearray(size)
        for lines in self.lines.values():
            for line in lines:
                start = line.address - base
                memory[start : start + len(line.code)] = line.code
        return bytes(memory)


def reachable(fragments: Sequence[Fragment], entries: Sequence[str]) -> list[Fragment]:
    """The fragments that `entries` need, in source order."""
    by_name: dict[str, Fragment] = {}
    for fragment in fragments:
        if fragment.name in by_name:
            raise FwbuildError(
                ExitCode.ASSEMBLY,
                f"label '{fragment.name}' is defined twice",
                where=f"{fragment.file}:{fragment.line}",
                hint=f"the first is at {by_name[fragment.name].file}:{by_name[fragment.name].line}",
            )
        by_name[fragment.name] = fragment
    found: set[str] = set()
    todo = list(entries)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        if name not in by_name:
            raise FwbuildError(ExitCode.ASSEMBLY, f"no label '{name}'", where="the image")
        for statement in by_name[name].statements:
            if statement.kind == "string":
                continue
            todo += [word for word in NAME.findall(statement.text) if word in by_name]
    return [fragment for fragment in fragments if fragment.name in found]


def _mnemonic(statement: Statement) -> str:
    """The mnemonic of an instruction; "" for anything else."""
    if statement.kind not in ("instruction", "att"):
        return ""
    return split_mnemonic(statement.text.removeprefix(".att").strip())[1]


def _check_end(fragment: Fragment) -> None:
    """A routine may not run into whatever the linker happens to place behind it."""
    if fragment.contract.kind == "data":
        return
    last = fragment.statements[-1] if fragment.statements else None
    if not last or not (last.kind == "data" or _mnemonic(last) in ENDS):
        raise FwbuildError(
            ExitCode.ASSEMBLY,
            f"routine '{fragment.name}' runs past its end",
            where=f"{fragment.file}:{fragment.line}",
            hint="end it with jmp, ret or hlt",
        )


class Linker:
    """One link: `symbols` are the constants."""

    def __init__(self, symbols: Mapping[str, int]) -> None:
        self.symbols = dict(symbols)
        self.encoder = Encoder()

    def link(self, fragments: Sequence[Fragment], entries: Sequence[str], place: Place) -> Linked:
        """The program that `entries` need, every address settled."""
        kept = reachable(fragments, entries)
        for fragment in kept:
            _check_end(fragment)
        labels: dict[str, dict[str, int]] = {f.name: {} for f in kept}
        sizes = {f.name: 64 for f in kept}
        with self.encoder.watchdog(WATCHDOG_SECONDS):
            addresses = place(kept, sizes)
            for _ in range(ROUNDS):
                linked = Linked(kept, addresses)
                settled = True
                for fragment in kept:
                    lines, local = self._fragment(fragment, addresses, labels[fragment.name])
                    settled &= local == labels[fragment.name]
                    labels[fragment.name] = local
                    linked.lines[fragment.name] = lines
                    linked.labels[fragment.name] = local
                sizes = {f.name: linked.size(f.name) for f in kept}
                placed = place(kept, sizes)
                if settled and placed == addresses:
                    linked.fragments.sort(key=lambda f: addresses[f.name])
                    return linked
                addresses = placed
        raise FwbuildError(ExitCode.ASSEMBLY, "the addresses do not settle", where="the image")

    def _fragment(
        self, fragment: Fragment, addresses: Mapping[str, int], local: dict[str, int]
    ) -> tuple[list[Encoded], dict[str, int]]:
        """The lines of a fragment, and its local labels as offsets from its start."""
        start = at = addresses[fragment.name]
        near = {name: start + offset for name, offset in (self._guess(fragment) | local).items()}
        symbols = {**self.symbols, **addresses, **near}
        found: dict[str, int] = {}
        lines = []
        for statement in fragment.statements:
            if statement.kind == "label":
                if statement.text in found:
                    raise statement.error("this label is defined twice")
                found[statement.text] = at - start
                continue
            code, text = self._statement(statement, symbols, at)
            lines.append(Encoded(statement, at, code, text))
            at += len(code)
        return lines, found

    @staticmethod
    def _guess(fragment: Fragment) -> dict[str, int]:
        """In the first round a local label is assumed near: branches start short and grow."""
        return {s.text: 0 for s in fragment.statements if s.kind == "label"}

    def _statement(
        self, statement: Statement, symbols: Mapping[str, int], at: int
    ) -> tuple[bytes, str]:
        match statement.kind:
            case "instruction" | "att":
                return self.encoder.encode(statement, symbols, at)
            case "bytes":
                return statement.payload, ""
            case "string":
                return _string(statement), ""
            case "balign":
                unit = self._values(statement, symbols)[0]
                if not 0 < unit <= LARGEST_ALIGN or unit & (unit - 1):
                    raise statement.error(f"{unit} is no alignment", hint="a power of two")
                return bytes([PAD_CODE]) * (-at % unit), ""
        word = statement.text.split(maxsplit=1)[0]
        size = DATA_SIZES[word]
        values = self._values(statement, symbols)
        for value in values:
            if not -(1 << 8 * size - 1) <= value < 1 << 8 * size:
                raise statement.error(f"{value:#x} does not fit {size} bytes")
        return b"".join((v % (1 << 8 * size)).to_bytes(size, "little") for v in values), ""

    @staticmethod
    def _values(statement: Statement, symbols: Mapping[str, int]) -> list[int]:
        rest = statement.text.partition(" ")[2]
        try:
            return [evaluate(part, symbols) for part in rest.split(",")]
        except ExpressionError as error:
            raise statement.error(str(error)) from None


def _string(statement: Statement) -> bytes:
    match = re.fullmatch(r'\.(ascii|asciz) "((?:[^"\\]|\\[n"\\])*)"', statement.text)
    if not match or not statement.text.isascii():
        raise statement.error("not a string", hint=r"only \n, \" and \\ are escapes")
    text = match[2].encode("ascii").decode("unicode_escape").encode("latin-1")
    return text + (b"\0" if match[1] == "asciz" else b"")
