"""GNU as, given the same instructions, makes the same bytes."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fwbuild.assembler.check import DISASSEMBLERS
from fwbuild.assembler.encoder import Encoder
from fwbuild.assembler.link import CODE
from fwbuild.assembler.source import Statement
from fwbuild.errors import FwbuildError
from fwbuild.image import build, template
from tests.support import gnu_as

AT = 0x10000000
MEMORY = ["[ebx]", "[ebx + 8]", "[ebx*4 + 0x100]", "[0x1234]", "[esp + 4]", "[ebp]", "es:[edi]"]
SIZED = {"byte": ("al", "bh"), "word": ("ax", "dx"), "dword": ("eax", "ecx")}
VALUES = ["1", "0x7f", "0x80", "-1", "-129", "0xff", "0xffff", "0xffffff80", "0x12345678"]
DISTANCES = [0, 2, -2, 127, 129, 130, -126, -128, -129, 1000, -1000, 0x7FFF, -0x7FFF, 0x123456]
PLAIN = """ret|ret 4|retf|iret|iretd|pushf|pushfd|popf|popfd|pushad|popad|leave|enter 8, 0|nop|hlt
cli|sti|cld|std|clc|stc|cpuid|rdmsr|wrmsr|rdtsc|wbinvd|invlpg [ebx]|lgdt [ebx]|lidt [ebx]|ltr ax
lldt ax|str ax|lmsw ax|clts|cbw|cwde|cwd|cdq|int 3|int 0x10|in al, dx|in ax, dx|in eax, dx
out dx, al|out dx, ax|out dx, eax|in al, 0x70|out 0x70, al|movsb|movsw|movsd|stosb|stosd|lodsb
lodsd|scasb|cmpsb|cmpsd|insb|insd|outsb|outsd|rep movsb|rep movsw|rep movsd|rep stosd|rep insb
rep insd|rep outsb|repe cmpsb|repne scasb|repe cmpsd|lea eax, [ebx + ecx*4 + 0x12345]
lea eax, [bx + si]
lea ax, [ebx]|bswap eax|movzx eax, al|movzx eax, word ptr [ebx]|movsx eax, cx|bt eax, 3|bts eax, ecx
bsf eax, ecx|shld eax, ecx, 4|shl eax, 1|shr eax, cl|ror dx, 8|imul eax, ecx, 5|imul eax, ecx, 0x80
lock inc dword ptr [ebx]|sete al|cmovz eax, ecx|mov eax, cr0|mov cr0, eax|mov cr3, eax
mov cr4, eax
jmp eax|jmp dword ptr [ebx]|call dword ptr [ebx]|call eax|mov ax, [bx + si + 4]|mov al, [si + 0x80]
mov eax, fs:[0x10]|mov eax, ds:[ebx]|mov eax, [eax + esp]|mov eax, [ebp + ebp]|xchg eax, ebx
push 1|push 0x80|push 0xffff|push 0x12345678|push eax|pop ax|push ds|pop es|mov ds, ax|mov ds, eax
mov word ptr [ebx], ds|mov ss, eax|mov eax, [0xfffffff0]|mov word ptr [0xfffffff0], ax"""
# The one program in 64-bit mode has operands of 32 bits alone.
LONG = """mov eax, 0xffffffff|mov eax, 1|add eax, 0x80|mov edi, dword ptr [ebx + 8]|test eax, eax
syscall|out dx, al|xor ebx, ebx|shl eax, 31|movzx eax, al|bswap eax|bt eax, 31|cwde|cdq|hlt|nop
mov ax, 5|cmp byte ptr [esi], 1|lock inc dword ptr [edi]|wrmsr|cpuid|rep stosd|imul eax, ecx, 9"""
# Differences that change nothing: (pattern, replacement) makes either side's bytes alike.
PREFIXES = b"\x66\x67\xf0\xf2\xf3\x2e\x36\x3e\x26\x64\x65"
SEGMENT_MOVE = re.compile(rb"^(?:[\x66\x48])?([\x8c\x8e])", re.DOTALL)  # always 16 bits of it
BREAKPOINT = (b"\xcd\x03", b"\xcc")  # `int 3`


def plain(code: bytes) -> bytes:
    """The bytes without the differences that change nothing."""
    rest = code.lstrip(PREFIXES)
    ordered = bytes(sorted(code[: len(code) - len(rest)])) + rest
    return SEGMENT_MOVE.sub(rb"\1", ordered).replace(*BREAKPOINT)


def text(code: bytes, bits: int) -> list[str]:
    return [f"{i.mnemonic} {i.op_str}" for i in DISASSEMBLERS[bits].disasm(code, AT)]


def unequal(ours: bytes, theirs: bytes | None, bits: int) -> bool:
    if theirs is None:
        return True
    if ours == theirs:
        return False
    same = plain(ours) == plain(theirs)
    return not same and not (len(ours) == len(theirs) and text(ours, bits) == text(theirs, bits))


@pytest.mark.parametrize("name", template.names())
def test_every_instruction_of_an_image(name: str, tmp_path: Path) -> None:
    gnu_as.require()
    lines = list(itertools.chain(*build.build_image(name).linked.lines.values()))
    compared = 0
    for bits in (16, 32, 64):
        mine = [
            line for line in lines if line.statement.kind in CODE and line.statement.bits == bits
        ]
        att = {"att": ".att ", "farjmp": ".att ", "instruction": ""}
        texts = [att[line.statement.kind] + line.canonical for line in mine]
        theirs = gnu_as.assemble(texts, bits, tmp_path)
        for line, other in zip(mine, theirs, strict=True):
            assert not unequal(line.code, other, bits), (line.statement.where, line, other)
        compared += len(mine)
    assert compared > 100


def table(bits: int) -> Iterator[str]:
    """Instructions of many forms; not every one exists."""
    if bits == 64:
        yield from re.split(r"[|\n]", LONG)
    else:
        yield from re.split(r"[|\n]", PLAIN)
        for op, size in itertools.product(("mov", "add", "cmp", "test", "xchg"), SIZED):
            first, second = SIZED[size]
            yield f"{op} {first}, {second}"
            for memory in MEMORY:
                yield f"{op} {first}, {size} ptr {memory}"
                yield f"{op} {size} ptr {memory}, {second}"
            for value in VALUES:
                yield f"{op} {second}, {value}"
                yield f"{op} {size} ptr [ebx], {value}"
    for op, distance in itertools.product(("jmp", "call", "jz", "loop", "jecxz"), DISTANCES):
        yield f"{op} {AT + distance:#x}"


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_many_forms_are_equal_or_refused(bits: int, tmp_path: Path) -> None:
    gnu_as.require()
    encoder = Encoder()
    taken: list[tuple[str, bytes]] = []
    for form in table(bits):
        line = Statement("t.s", 1, form, bits, "instruction")
        try:
            code, canonical = encoder.encode(line, {}, AT)
            taken.append((canonical, code))
        except FwbuildError:
            continue
    theirs = gnu_as.assemble([spelled for spelled, _ in taken], bits, tmp_path)
    wrong = [
        (spelled, code.hex(), other and other.hex())
        for (spelled, code), other in zip(taken, theirs, strict=True)
        if unequal(code, other, bits)
    ]
    assert not wrong
    assert len(taken) > 60
