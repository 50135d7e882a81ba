"""Gives every fragment its address and its bytes.

Starting at the entry fragment it follows the symbols that each line names; what nothing
reaches is left out of the image. Sizes depend on addresses (short branches), so placing and
encoding repeat until no address moves; then some jumps may go by way of others (hops.py).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fwbuild.assembler.encoder import Encoder, split_mnemonic
from fwbuild.assembler.expression import ExpressionError, evaluate
from fwbuild.assembler.hops import Spot, hops
from fwbuild.assembler.source import DATA_SIZES, TRACE_LABEL, Fragment, Statement
from fwbuild.errors import ExitCode, FwbuildError

WATCHDOG_SECONDS = 20.0
ROUNDS = 32
NAME = re.compile(r"(?<![\w.])[a-z_][a-z0-9_]*(?![\w.])")
CODE = ("instruction", "att", "farjmp")  # the kinds of statements that the CPU runs
ENDS = frozenset("jmp jmpl ljmpl ret retf retw retl lretw lretl iret iretd iretw iretl hlt".split())

# Where each fragment of a list goes, from the sizes: name -> address.
Place = Callable[[Sequence[Fragment], Mapping[str, int]], dict[str, int]]


@dataclass(frozen=True)
class Encoded:
    """One statement in the image: its address, its bytes, and its text with numbers. `goal` is
    where a jump ends that goes by way of another one."""

    statement: Statement
    address: int
    code: bytes
    canonical: str
    goal: int | None = None


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

    def last_before(self, address: int) -> Fragment | None:
        """The last fragment that starts at an address or before it."""
        before = [f for f in self.fragments if self.addresses[f.name] <= address]
        return before[-1] if before else None

    def fragment_at(self, address: int) -> Fragment | None:
        """The fragment that has a byte at an address."""
        found = self.last_before(address)
        inside = found and address < self.addresses[found.name] + self.size(found.name)
        return found if inside else None

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


def _ends(statement: Statement) -> bool:
    """Whether control never goes on to the next line."""
    text = statement.text.removeprefix(".att").strip()
    return statement.kind == "farjmp" or split_mnemonic(text)[1] in ENDS


def _check_end(fragment: Fragment) -> None:
    """A routine may not run into whatever the linker happens to place after it."""
    if fragment.contract.kind == "data":
        return
    code = [s for s in fragment.statements if s.kind in CODE]
    if not code or not _ends(code[-1]) or fragment.statements[-1].kind == "label":
        raise FwbuildError(
            ExitCode.ASSEMBLY,
            f"routine '{fragment.name}' runs past its end",
            where=f"{fragment.file}:{fragment.line}",
            hint="end it with jmp, ret or hlt",
        )


def group_symbols(
    fragments: Sequence[Fragment], addresses: Mapping[str, int], sizes: Mapping[str, int]
) -> dict[str, int]:
    """`group.NAME.base`, `.size` and `.end` of every group. Raises FwbuildError where something
    else lies between two fragments of a group, or they are out of order."""
    found: dict[str, int] = {}
    for fragment in fragments:
        prefix, start = f"group.{fragment.group}", addresses[fragment.name]
        if not fragment.group:
            continue
        if found.setdefault(f"{prefix}.end", start) != start:
            raise FwbuildError(
                ExitCode.ASSEMBLY,
                f"'{fragment.name}' is not placed next in the group '{fragment.group}'",
                where=f"{fragment.file}:{fragment.line}",
            )
        base = found.setdefault(f"{prefix}.base", start)
        found[f"{prefix}.end"] = end = start + sizes[fragment.name]
        found[f"{prefix}.size"] = end - base
    return found


def _offset(lines: list[Encoded], number: int) -> int:
    """Bytes from a fragment's start to a line."""
    return lines[number].address - lines[0].address


def _not_settled() -> FwbuildError:
    return FwbuildError(ExitCode.ASSEMBLY, "the addresses do not settle", where="the image")


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
        with self.encoder.watchdog(WATCHDOG_SECONDS):
            linked = self._settle(kept, place, {}, None)
            ways: dict[Spot, Spot] = {}
            for _ in range(ROUNDS):
                # one that is found stays: what is shorter lets others be found
                found = hops(kept, linked.addresses, linked.lines) | ways
                if found == ways:
                    linked.fragments.sort(key=lambda f: linked.addresses[f.name])
                    return linked
                ways = found
                linked = self._settle(kept, place, ways, linked)
        raise _not_settled()

    def _settle(
        self,
        kept: list[Fragment],
        place: Place,
        ways: Mapping[Spot, Spot],
        before: Linked | None,
    ) -> Linked:
        """The fragments at addresses that no longer move. `ways` are the jumps that go by way of
        others; `before` is the link before, where there is one."""
        labels = before.labels if before else {f.name: {} for f in kept}
        sizes = {f.name: before.size(f.name) if before else 64 for f in kept}
        addresses = place(kept, sizes)
        for _ in range(ROUNDS):
            linked = Linked(kept, addresses)
            known = self.symbols | addresses | group_symbols(kept, addresses, sizes)
            # in their fragments they lie where they did in the round before
            last = before.lines if before else {}
            landings = {
                jump: addresses[way.fragment] + _offset(last[way.fragment], way.line)
                for jump, way in ways.items()
            }
            for fragment in kept:
                name = fragment.name
                lines, local = self._fragment(fragment, known, labels[name], landings)
                linked.lines[name], linked.labels[name] = lines, local
            sizes = {f.name: linked.size(f.name) for f in kept}
            placed = place(kept, sizes)
            if last == linked.lines and linked.labels == labels and placed == addresses:
                return linked
            before, labels, addresses = linked, linked.labels, placed
        raise _not_settled()

    def _fragment(
        self,
        fragment: Fragment,
        known: Mapping[str, int],
        local: dict[str, int],
        landings: Mapping[Spot, int],
    ) -> tuple[list[Encoded], dict[str, int]]:
        """The lines of a fragment, and its local labels as offsets from its start. `landings` are
        the addresses of the jumps by whose way others go."""
        start = at = known[fragment.name]
        near = {name: start + offset for name, offset in (self._guess(fragment) | local).items()}
        symbols = {**known, **near}
        found: dict[str, int] = {}
        lines: list[Encoded] = []
        for statement in fragment.statements:
            if statement.kind == "label":
                if statement.text in found:
                    raise statement.error("this label is defined twice")
                found[statement.text] = at - start
                continue
            landing = landings.get(Spot(fragment.name, len(lines)))
            goal, seen = None, symbols
            if landing is not None:
                target = split_mnemonic(statement.text)[2]
                goal, seen = symbols[target], {**symbols, target: landing}
            code, text = self._statement(statement, seen, at)
            lines.append(Encoded(statement, at, code, text, goal))
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
            case "farjmp":
                return self._far_jump(statement, symbols)
        word = statement.text.split(maxsplit=1)[0]
        size = DATA_SIZES[word]
        values = self._values(statement, symbols)
        for value in values:
            if not -(1 << 8 * size - 1) <= value < 1 << 8 * size:
                raise statement.error(f"{value:#x} does not fit {size} bytes")
        return b"".join((v % (1 << 8 * size)).to_bytes(size, "little") for v in values), ""

    def _far_jump(self, statement: Statement, symbols: Mapping[str, int]) -> tuple[bytes, str]:
        """ljmp with a 32-bit offset, which keystone does not know; and its text in AT&T's
        syntax."""
        if statement.bits == 64:
            raise statement.error("64-bit mode has no such jump")
        values = self._values(statement, symbols)
        if len(values) != 2 or not 0 <= values[0] <= 0xFFFF or not 0 <= values[1] <= 0xFFFFFFFF:
            raise statement.error("not a selector and a target")
        selector, target = values
        code = b"\x66" * (statement.bits == 16) + b"\xea"
        code += target.to_bytes(4, "little") + selector.to_bytes(2, "little")
        return code, f"ljmpl ${selector:#x}, ${target:#x}"

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
