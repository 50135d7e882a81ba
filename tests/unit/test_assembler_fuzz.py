"""Whatever a source holds, the assembler comes back, with a program or an FwbuildError."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwbuild.assembler.link import Linked
from fwbuild.errors import FwbuildError
from tests.support.sources import link, link_lines

WORDS = (
    "mov add jmp call loop rep lock push pop ret lgdt .att .byte .long .farjmp .if .else .endif "
    ".macro .endm .group .endgroup "
    ".ascii .code16 .code32 eax al ax ebx ds cr0 [ ] + - * , : ( ) % $ # ' \" ; /* */ { } 1 0x10 "
    "0x1ff -1 'QEMU' start .a .a: dword ptr byte 1f << // be32"
).split()
LINES = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)


def attempt(text: str, bits: int) -> Linked | None:
    try:
        return link_lines(f"{text}\njmp start", bits)
    except FwbuildError:
        return None


@given(text=LINES, bits=st.sampled_from([16, 32, 64]))
@settings(max_examples=300, deadline=5000)
def test_words_of_the_language(text: str, bits: int) -> None:
    attempt(text, bits)


@given(text=st.text(max_size=40), bits=st.sampled_from([16, 32]))
@settings(max_examples=150, deadline=5000)
def test_any_text(text: str, bits: int) -> None:
    attempt(text, bits)
    try:
        link(text)
    except FwbuildError:
        return
    pytest.fail("a program without an entry")
