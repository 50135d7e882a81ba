"""The assembly is to be read: signposts stand close together, and each chapter has a head."""

import re

import pytest

from fwbuild.files import data_dir
from fwbuild.image.sources import CHAPTERS

ASM = data_dir("asm")
LONGEST = 12  # instructions without a comment, a label, a directive or a blank line
SOURCES = sorted(str(p.relative_to(ASM)) for c in CHAPTERS for p in (ASM / c).glob("*.s"))


def longest_run(text: str) -> tuple[int, int]:
    """The longest run of instructions without a signpost, and the line on which it ends."""
    longest = run = line = 0
    for number, raw in enumerate(text.splitlines(), 1):
        words = raw.strip()
        signpost = not words or "#" in words or words.endswith(":") or words.startswith(".")
        run = 0 if signpost else run + 1
        if run > longest:
            longest, line = run, number
    return longest, line


@pytest.mark.parametrize("name", SOURCES)
def test_no_long_run_without_a_signpost(name: str) -> None:
    longest, line = longest_run((ASM / name).read_text(encoding="utf-8"))
    assert longest <= LONGEST, f"{name}:{line}: {longest} instructions without a word"


# One instruction more than `mov`, with two accesses to memory: the budget counts instructions.
BY_THE_STACK = re.compile(r"^ *push +(?![a-z]{2,3}\b(?!\.)).*\n(?: *#.*\n)* *pop +.*", re.MULTILINE)


@pytest.mark.parametrize("name", SOURCES)
def test_a_constant_gets_into_a_register_by_mov(name: str) -> None:
    assert BY_THE_STACK.findall((ASM / name).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_opens_with_a_comment(name: str) -> None:
    first = (ASM / name).read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")


@pytest.mark.parametrize(
    ("text", "run"),
    [("nop\n" * 5, 5), ("nop\n.a:\nnop\n", 1), ("nop\n# so\nnop\n", 1), ("nop # so\nnop\n", 1)],
)
def test_runs_are_counted(text: str, run: int) -> None:
    assert longest_run(text)[0] == run


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("    push 4\n    pop ecx\n", True),
        ("    push pvh.MAGIC\n    # why\n    pop eax\n", True),
        ("    push eax\n    pop ecx\n", False),
        ("    push 4\n    call print\n    pop ecx\n", False),
    ],
)
def test_a_constant_by_the_stack_is_found(text: str, found: bool) -> None:
    assert bool(BY_THE_STACK.search(text)) == found
