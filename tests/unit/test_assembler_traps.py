"""Every trap of keystone's is an error that names the line, or gives the right bytes."""

import subprocess
import sys

import pytest

from fwbuild.assembler.encoder import Encoder
from fwbuild.assembler.source import Statement
from fwbuild.errors import ExitCode, FwbuildError
from tests.support.sources import header, link, link_lines

TRAPS_32 = [
    "mov eax, nobody", "mov al, 0x1ff", ".word 0x12345", ".byte 256", ".align 6", ".balign 4",
    "nop ; nop", "jmp 1f", ".error", ".section .text", '.include "nowhere.s"',
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
    "o32 nop", "mov eax, 101b", ".farjmp 8", ".farjmp 0x10000, 0", ".farjmp 8, 1 << 32",
    ".farjmp 8, nobody", "jmp qword ptr [eax]", ".else", ".endif", ".if nobody",
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
    "data at the end": (f"{header()}start:\n nop\n .byte 1\n", "runs past its end"),
    "no title": (header().replace("a routine", "-") + "start:\n ret\n", "lacks a title"),
    "data without a title": ("#: -\n#: mode: data\nstart:\n .byte 1\n", "lacks a title"),
    "variable that is none": (f"{header(reads='work.x')}start:\n ret\n", "unknown work.x"),
    "group in a group": (f".group a\n.group b\n{header()}start:\n ret\n", "misplaced"),
    "group that never began": (f"{header()}start:\n ret\n.endgroup\n", "misplaced"),
    "group that never ends": (f".group a\n{header()}start:\n ret\n", "without .endgroup"),
    "group torn apart": (
        f"{header()}start:\n jmp b\n.group a\n{header()}c:\n ret\n.endgroup\n"
        f"{header()}d:\n ret\n.group a\n{header()}b:\n jmp c\n jmp d\n.endgroup\n",
        "not placed next in the group 'a'",
    ),
    "macro that never ends": (f"{header()}start:\n ret\n.macro a\n", "without .endm"),
    "macro in a macro": (".macro a\n.macro b\n.endm\n", "misplaced"),
    "macro twice": (".macro a\n.endm\n.macro a\n.endm\n", "not a new macro"),
    "macro without a name": (".macro\n.endm\n", "not a new macro"),
    "macro of itself": (f".macro a\n .a\n.endm\n{header()}start:\n .a\n", "without end"),
    "end of no macro": (f"{header()}start:\n ret\n.endm\n", "neither a directive"),
    "too few arguments": (f".macro a x\n jmp \\x\n.endm\n{header()}start:\n .a\n", "not 1 arg"),
    "no such parameter": (
        f".macro a x\n mov eax, \\y\n.endm\n{header()}start:\n .a 1\n ret\n",
        "cannot read the expression",
    ),
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
        (16, ".att lgdtl {0x100}", "660f01160001"), (32, ".word -1", "ffff"),
        (32, ".ascii \"a#\\n\"", "61230a"), (32, ".long 'QEMU'", "51454d55"),
        (32, ".farjmp 8, start", "ea0000ffff0800"), (16, ".farjmp 8, start", "66ea0000ffff0800"),
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


def test_a_macro_puts_its_arguments_in() -> None:
    macros = ".macro one x, y\n mov eax, \\x + \\y\n.endm\n.macro two z\n .one \\z, 2\n.endm\n"
    linked = link(f"{macros}{header(clobbers='eax')}start:\n .two 1 << 4\n ret\n")
    assert [line.statement.text for line in linked.lines["start"]] == ["mov eax, 1 << 4 + 2", "ret"]
    assert {line.statement.line for line in linked.lines["start"][:1]} == {14}


def test_a_group_has_a_base_and_a_size() -> None:
    text = f"{header(clobbers='eax')}start:\n mov eax, group.a.size\n mov eax, group.a.base\n"
    text += f" mov eax, group.a.end\n jmp c\n.group a\n{header()}b:\n nop\n ret\n"
    text += f"{header()}unreached:\n ret\n{header()}c:\n jmp b\n.endgroup\n"
    linked = link(text)
    start, end = linked.addresses["b"], linked.addresses["c"] + linked.size("c")
    values = [int(line.canonical.split(", ")[1], 16) for line in linked.lines["start"][:3]]
    assert values == [end - start, start, end]
    assert end - start == 4


WATCHED = """
import sys, time
from fwbuild.assembler.encoder import Encoder
encoder = Encoder()
with encoder.watchdog(0.2):
    while sys.argv[1] == "spins":
        pass
    time.sleep(2)
"""


@pytest.mark.parametrize(("what", "code"), [("spins", ExitCode.ASSEMBLY), ("waits", ExitCode.OK)])
def test_watchdog(what: str, code: ExitCode) -> None:
    """It ends an assembler that does not come back, and not one that a busy host keeps waiting."""
    argv = [sys.executable, "-c", WATCHED, what]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert ("did not return" in done.stderr) == (code != ExitCode.OK)
