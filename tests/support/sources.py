"""Small sources for the assembler's tests."""

from collections.abc import Mapping, Sequence

from fwbuild.assembler.link import Linked, Linker
from fwbuild.assembler.source import Fragment, parse

BASE = 0xFFFF0000


def header(**fields: str) -> str:
    """A contract; `clobbers="eax"` and the like replace its fields (`in_` is `in`)."""
    known = {"mode": "32", "in": "-", "out": "-", "clobbers": "-", "source": "-"}
    known |= {key.rstrip("_"): value for key, value in fields.items()}
    return "#: a routine\n" + "".join(f"#: {key}: {value}\n" for key, value in known.items())


def place(fragments: Sequence[Fragment], sizes: Mapping[str, int]) -> dict[str, int]:
    """One fragment behind the other."""
    addresses, at = {}, BASE
    for fragment in fragments:
        addresses[fragment.name] = at
        at += sizes[fragment.name]
    return addresses


def link(text: str, symbols: Mapping[str, int] | None = None) -> Linked:
    """The program of a source whose entry is `start`."""
    known = symbols or {}
    return Linker(known).link(parse("t.s", text, known), ["start"], place)


def link_lines(lines: str, bits: int = 32, symbols: Mapping[str, int] | None = None) -> Linked:
    """The same for a routine's lines; the first one is t.s:9."""
    text = f"{header(mode=str(bits), clobbers='eax')}start:\n.code{bits}\n{lines}\n"
    return link(text, symbols)
