"""Writes the debugging information of a linked program: the source line of every instruction,
its routines and their labels, at the addresses at which they run.

Source: DWARF Debugging Information Format, version 4: 2.17.3 ranges, 6.2 line numbers, 7.5 entries.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from fwbuild.abi.dwarf import (
    LANG_ASSEMBLER,
    OPERANDS,
    VERSION,
    At,
    Form,
    Line,
    LineExtended,
    Tag,
)
from fwbuild.assembler.link import Linked
from fwbuild.assembler.source import Fragment

ADDRESS = 4  # bytes of an address
UNIT_NAME = "asm"
PRODUCER = "fwbuild"
# The entries that are written: their code is the place in this list, from 1 on.
ABBREVIATIONS: tuple[tuple[Tag, bool, tuple[tuple[At, Form], ...]], ...] = (
    (Tag.COMPILE_UNIT, True, (
        (At.PRODUCER, Form.STRING), (At.LANGUAGE, Form.DATA2), (At.NAME, Form.STRING),
        (At.STMT_LIST, Form.SEC_OFFSET), (At.LOW_PC, Form.ADDR), (At.RANGES, Form.SEC_OFFSET))),
    (Tag.SUBPROGRAM, True, (
        (At.EXTERNAL, Form.FLAG_PRESENT), (At.NAME, Form.STRING), (At.DECL_FILE, Form.UDATA),
        (At.DECL_LINE, Form.UDATA), (At.LOW_PC, Form.ADDR), (At.HIGH_PC, Form.DATA4))),
    (Tag.LABEL, False, (
        (At.NAME, Form.STRING), (At.DECL_FILE, Form.UDATA), (At.DECL_LINE, Form.UDATA),
        (At.LOW_PC, Form.ADDR))),
)  # fmt: skip
UNIT, ROUTINE, LABEL = range(1, len(ABBREVIATIONS) + 1)
END = b"\0"  # of a list of entries, names, attributes


@dataclass(frozen=True)
class Placed:
    """A routine at an address where it runs; its size in bytes."""

    fragment: Fragment
    start: int
    size: int


def debug_sections(linked: Linked, places: Callable[[str], Sequence[int]]) -> dict[str, bytes]:
    """The sections by name. `places` gives the addresses at which a routine runs, by its name."""
    routines = [
        Placed(f, start, linked.size(f.name))
        for f in linked.fragments
        if f.contract.kind != "data"
        for start in places(f.name)
    ]
    files = sorted({placed.fragment.file for placed in routines})
    number = {name: i for i, name in enumerate(files, 1)}
    body = b"".join(_routine(linked, placed, number) for placed in routines)
    return {
        ".debug_abbrev": _abbreviations(),
        ".debug_info": _unit(body),
        ".debug_line": _lines(linked, routines, number),
        ".debug_ranges": _ranges(routines),
    }


def _unsigned(value: int) -> bytes:
    """ULEB128 (7.6)."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _signed(value: int) -> bytes:
    """SLEB128 (7.6)."""
    found = bytearray()
    while not -0x40 <= value < 0x40:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value & 0x7F])


def _string(text: str) -> bytes:
    return text.encode("ascii") + END


def _address(value: int) -> bytes:
    return value.to_bytes(ADDRESS, "little")


def _with_length(data: bytes) -> bytes:
    """The 32-bit format's length, and what it counts (7.4)."""
    return len(data).to_bytes(4, "little") + data


def _abbreviations() -> bytes:
    found = b""
    for code, (tag, children, attributes) in enumerate(ABBREVIATIONS, 1):
        pairs = chain(*attributes, (0, 0))
        found += _unsigned(code) + _unsigned(tag) + bytes([children])
        found += b"".join(map(_unsigned, pairs))
    return found + END


def _unit(routines: bytes) -> bytes:
    """The compilation unit, in its order of ABBREVIATIONS, with the routines in it."""
    header = VERSION.to_bytes(2, "little") + bytes(4) + bytes([ADDRESS])
    entry = _unsigned(UNIT) + _string(PRODUCER) + LANG_ASSEMBLER.to_bytes(2, "little")
    entry += _string(UNIT_NAME) + bytes(4) + _address(0) + bytes(4)
    return _with_length(header + entry + routines + END)


def _routine(linked: Linked, placed: Placed, number: dict[str, int]) -> bytes:
    fragment = placed.fragment
    file = _unsigned(number[fragment.file])
    entry = _unsigned(ROUTINE) + _string(fragment.name) + file + _unsigned(fragment.line)
    entry += _address(placed.start) + placed.size.to_bytes(4, "little")
    for statement in fragment.statements:
        if statement.kind == "label":
            at = placed.start + linked.labels[fragment.name][statement.text]
            entry += _unsigned(LABEL) + _string(statement.text) + file
            entry += _unsigned(statement.line) + _address(at)
    return entry + END


def _ranges(routines: Sequence[Placed]) -> bytes:
    """Where the unit has code; the list ends with an empty range."""
    bounds = [(placed.start, placed.start + placed.size) for placed in routines]
    return b"".join(map(_address, chain(*bounds, (0, 0))))


def _lines(linked: Linked, routines: Sequence[Placed], number: dict[str, int]) -> bytes:
    """The line program: a sequence for each routine, a row for each statement that has bytes."""
    # each operation is one instruction of a byte at least, and a row is a statement
    fixed = bytes([1, 1, True])
    # no special opcodes: their base and range are what they must be at least
    special = bytes([0, 1, len(OPERANDS) + 1, *OPERANDS])
    names = b"".join(_string(name) + bytes(3) for name in number)
    rest = fixed + special + END + names + END
    program = b"".join(chain.from_iterable(_sequence(linked, r, number) for r in routines))
    return _with_length(VERSION.to_bytes(2, "little") + _with_length(rest) + program)


def _sequence(linked: Linked, placed: Placed, number: dict[str, int]) -> Iterator[bytes]:
    """The rows of a routine. Each sequence begins in file 1, line 1."""
    fragment = placed.fragment
    yield _extended(LineExtended.SET_ADDRESS, _address(placed.start))
    yield bytes([Line.SET_FILE]) + _unsigned(number[fragment.file])
    line, pending = 1, 0
    for encoded in linked.lines[fragment.name]:
        if encoded.code:
            yield bytes([Line.ADVANCE_PC]) + _unsigned(pending)
            yield bytes([Line.ADVANCE_LINE]) + _signed(encoded.statement.line - line)
            yield bytes([Line.COPY])
            line, pending = encoded.statement.line, len(encoded.code)
    yield bytes([Line.ADVANCE_PC]) + _unsigned(pending)
    yield _extended(LineExtended.END_SEQUENCE)


def _extended(opcode: LineExtended, operand: bytes = b"") -> bytes:
    return bytes([Line.EXTENDED]) + _unsigned(1 + len(operand)) + bytes([opcode]) + operand
