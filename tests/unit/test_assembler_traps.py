"""Every trap of keystone's is an error that names the line, or gives the right bytes."""

import pytest

from fwbuild.assembler.encoder import Encoder
from fwbuild.assembler.source import Statement
from fwbuild.errors import ExitCode, FwbuildError
from tests.support.sources import header, link, link_lines

TRAPS_32 = [
    "mov eax, nobody", "mov al, 0x1ff", ".word 0x12345", ".byte 256", ".align 6", ".balign 6",
    ".balign 0", "nop ; nop", "jmp 1f", ".error", ".section .text", '.include "nowhere.s"',
    "% 1", "[ 1", "'x", '"x', "( 1", "! 1", "? 1", "= 1", "- 1", ", 1", "\\ 1", "/* open",
    "nop /* open", ".fill start - 4", ".skip 4", ".text", ".data", "jmp short start",
    "lgdt [0x12345678]", "lidt [ebx]", "sgdt [ebx]", "sidt [ebx]", "push 0xffff", "iret", "pushf",
    "popf", "push ds", "pop es", "jmp 8:5", "ljmp 8, 5", "jmp fword ptr [eax]", "mov cs, eax",
    "mov eax, dword ptr [eax + eax + eax]", "mov eax, dword ptr [eax*3]", "mov eax, 0x100000000",
    "mov eax, dword ptr [esp*2]", "mov [eax], 1", "inc [eax]", "jmp", "call", "rep", ".byte",
    "rep )", "rep -1",
    ".att", ".att jmpl 5", ".att .error", ".att lgdtl {nobody}", ".att % 1", "out 0x1ff, al",
    "shl eax, 256", "ret 0x12345", "enter 0x10000, 0", "mov eax, 1 << 100000000000",
    "mov eax, 1 // 0", '.ascii "open', '.ascii "\u00e9"', "mov eax, offset start", "mov eax, $",
    "o32 nop", "mov eax, 101b", ".else", ".endif", ".if nobody",
]  # fmt: skip
TRAPS_16 = [
    "ret", "push 5", "push 0x1234", "push fs", "pop fs", "mov ax, word ptr [ebx*4 + 8]",
    "lgdt [0x100]", "lidt [0x100]", "call dword ptr [0x100]", "mov ax, word ptr [bx*2]",
    "mov ax, word ptr [0x12345]", "jmp start + 0x12345", "mov ax, word ptr [ax]",
]  # fmt: skip
WHOLE_SOURCES = {
    "label twice": (f"{header()}start:\n ret\n{header()}start:\n ret\n", "defined twice"),
    "local label twice": (f"{header()}start:\n.a:\n.a:\n ret\n", "defined twice"),
    "register as label": (f"{header()}eax:\n ret\n", "reserved"),
    "size as label": (f"{header()}dword:\n ret\n", "reserved"),
    "runs past its end": (f"{header()}start:\n nop\n", "runs past its end"),
    "empty": (f"{header()}start:\n", "runs past its end"),
    "label at the end": (f"{header()}start:\n jz .a\n ret\n.a:\n", "runs past its end"),
    "padding at the end": (f"{header()}start:\n ret\n .balign 4\n", "runs past its end"),
    "no contract": ("start:\n ret\n", "no contract"),
    "half a contract": ("#: what\n#: mode: 32\nstart:\n ret\n", "contract lacks"),
    "unknown register": (f"{header(clobbers='eaz')}start:\n ret\n", "unknown eaz"),
    "unknown mode": (f"{header(mode='31')}start:\n ret\n", "unknown mode"),
    "field twice": (f"{header()}#: mode: 32\nstart:\n ret\n", "two mode"),
    "bad returns": (f"{header(returns='maybe')}start:\n ret\n", "returns"),
    "contract of nothing": (f"{header()}start:\n ret\n{header()}", "without a label"),
    "contract amid code": (f"{header()}start:\n{header()} ret\n", "directly above"),
    "code before a label": (" ret\n", "before the first label"),
    "open if": (f"{header()}start:\n ret\n.if 1\n", ".if without .endif"),
    "no entry": (f"{header()}other:\n ret\n", "no label 'start'"),
}


@pytest.mark.parametrize(
    ("bits", "line"), [(32, t) for t in TRAPS_32] + [(16, t) for t in TRAPS_16]
)
def test_trap_is_an_error_at_its_line(bits: int, line: str) -> None:
    with pytest.raises(FwbuildError) as caught:
        link_lines(f"{line}\njmp start", bits)
    assert caught.value.code is ExitCode.ASSEMBLY
    assert caught.value.where == "t.s:9"
    assert line in str(caught.value)


@pytest.mark.parametrize("name", WHOLE_SOURCES)
def test_bad_source(name: str) -> None:
    text, complaint = WHOLE_SOURCES[name]
    with pytest.raises(FwbuildError, match=complaint) as caught:
        link(text)
    assert caught.value.code is ExitCode.ASSEMBLY
    assert caught.value.where


def test_loop_out_of_range() -> None:
    with pytest.raises(FwbuildError, match=r"loop \.far"):
        link_lines(".far:\n" + "mov eax, 0x12345678\n" * 40 + "loop .far\nret")


@pytest.mark.parametrize(
    ("bits", "line", "code"),
    [
        (32, "mov eax, 10", "b80a000000"), (32, "mov eax, 0x10", "b810000000"),
        (32, "mov eax, start + 4", "b80400ffff"), (32, "mov eax, 0b101", "b805000000"),
        (32, ".att lgdtl {0x12345678}", "0f011578563412"), (32, "push 0xffffffff", "6aff"),
        (32, "movsd", "a5"), (32, "rep movsd", "f3a5"), (16, ".att retw", "c3"),
        (16, "call start", "e8fdff"), (16, "jmp start", "ebfe"),
        (16, "jz start - 0x200", "0f84fcfd"),
        (16, ".att lgdtl {0x100}", "660f01160001"), (32, ".balign 4", ""), (32, ".word -1", "ffff"),
        (32, ".ascii \"a#\\n\"", "61230a"), (32, ".long 'QEMU'", "51454d55"),
        (32, "mov al, '#' # number", "b023"), (32, "push start", "680000ffff"),
    ],
)  # fmt: skip
def test_right_bytes(bits: int, line: str, code: str) -> None:
    linked = link_lines(f"{line}\njmp start", bits)
    assert linked.lines["start"][0].code.hex() == code


def test_the_radix_is_decimal_in_every_encoder() -> None:
    for register, opcode in (("eax", "b8"), ("ecx", "b9"), ("edx", "ba")):
        line = Statement("t.s", 1, f"mov {register}, 10", 32, "instruction")
        assert Encoder().encode(line, {}, 0)[0].hex() == f"{opcode}0a000000"
        hexadecimal = Statement("t.s", 1, f"mov {register}, 0x10", 32, "instruction")
        assert Encoder().encode(hexadecimal, {}, 0)[0].hex() == f"{opcode}10000000"
