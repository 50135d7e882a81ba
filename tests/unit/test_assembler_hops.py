"""Jumps to a routine that never returns go by way of each other."""

import pytest

from fwbuild.assembler.audit import audit, target_of
from fwbuild.assembler.link import Encoded, Linked
from fwbuild.image.build import build_image
from tests.support.sources import header, link

SHORT = ".rept 100\n nop\n.endr\n"
FAR = ".rept 200\n nop\n.endr\n"
END = f"{header(returns='never')}endless:\n hlt\n jmp endless\n"


def program(lines: str) -> str:
    """A routine that never returns, something long, and a routine of these lines."""
    return f"{END}{header()}between:\n{FAR} ret\n{header()}start:\n call between\n{lines}\n"


def jumps(linked: Linked) -> list[Encoded]:
    return [line for line in linked.lines["start"] if line.statement.text.startswith("j")]


# lines, and the bytes of each jump
CASES = {
    "alone": ("jmp endless", [5]),
    "a condition alone": ("jz endless\nret", [6]),
    "forward": ("jz endless\njmp endless", [2, 5]),
    "back": ("jz .b\njmp endless\n.b:\njc endless\nret", [2, 5, 2]),
    "a jmp only back": ("jz .b\njmp endless\n.b:\njmp endless", [2, 5, 2]),
    "out of reach": (f"jz endless\n{FAR}jmp endless", [6, 5]),
    "one after the other": (
        f"jz .b\njmp endless\n.b:\n{SHORT}jz .c\njmp endless\n.c:\n{SHORT}jc endless\nret",
        [2, 5, 2, 2, 2],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_sizes(name: str) -> None:
    lines, sizes = CASES[name]
    assert [len(line.code) for line in jumps(link(program(lines)))] == sizes


def test_a_routine_that_returns_is_jumped_to_directly() -> None:
    """There a hop would cost an instruction."""
    text = program("jz between\njmp between").replace(" call", " .rept 200\n nop\n.endr\n call")
    assert [len(line.code) for line in jumps(link(text))] == [6, 5]


@pytest.mark.parametrize("template", ["universal", "all-cpus", "linux", "baked"])
def test_every_hop_ends_where_the_source_says(template: str) -> None:
    """Followed from byte to byte, through as many hops as it takes."""
    linked = build_image(template).linked
    lines = {line.address: line for routine in linked.lines.values() for line in routine}
    hopping = [line for line in lines.values() if line.goal is not None]
    assert hopping
    for line in hopping:
        at, seen = line, 0
        while at.address != line.goal:
            assert at is line or at.statement.text.startswith("jmp ")
            where = at.address + len(at.code)
            width = len(at.code) - (1 if len(at.code) in (2, 5) else 2)
            where += int.from_bytes(at.code[-width:], "little", signed=True)
            at, seen = lines[where % (1 << 32)], seen + 1
        assert seen > 1
        assert target_of(line) == line.goal == linked.addresses[line.statement.text.split()[-1]]
    assert audit(linked) == []
