"""The static audit is clean for what we ship, and finds what a contract leaves out."""

import pytest

from fwbuild.assembler.audit import audit
from fwbuild.image import build, template
from tests.support.sources import header, link

OTHER = header(clobbers="ecx") + "other:\n mov ecx, 1\n ret\n"
NEVER = header(clobbers="eax", returns="never") + "other:\n hlt\n jmp other\n"
BAD = {
    "plain": (" mov eax, 1\n ret\n", "changes eax"),
    "part of a register": (" mov ah, 1\n ret\n", "changes eax"),
    "flags": (" inc dword ptr [ebx]\n ret\n", "changes eflags"),
    "string instruction": (" rep movsd\n ret\n", "changes edi"),
    "implicit": (" cpuid\n ret\n", "changes ebx"),
    "segment": (" mov ds, eax\n ret\n", "changes ds"),
    "control register": (" mov cr0, eax\n ret\n", "changes cr0"),
    "callee": (" call other\n ret\n" + OTHER, "changes ecx"),
    "tail jump": (" jmp other\n" + OTHER, "changes ecx"),
    "push without pop": (" push eax\n ret\n", "leaves 1 values"),
    "push before a tail jump": (" push eax\n jmp other\n" + OTHER, "leaves 1 values"),
    "restored elsewhere": (" push eax\n mov eax, 1\n pop ebx\n ret\n", "changes eax"),
    "pop of the caller's": (" pop eax\n ret\n", "changes eax"),
    "far return to too little": (" push eax\n retf\n", "leaves 1 values"),
    "two stacks": (" jz .a\n push eax\n.a:\n ret\n", "different stacks"),
}
GOOD = {
    "nothing": " ret\n",
    "saved": " push eax\n mov eax, 1\n pop eax\n ret\n",
    "saved around a call": " push ecx\n call other\n pop ecx\n ret\n" + OTHER,
    "far return to what was pushed": " push eax\n push ebx\n retf\n",
    "all saved": " pushad\n mov eax, 1\n popad\n ret\n",
    "before a stop": " jz .stop\n ret\n.stop:\n mov eax, 1\n jmp other\n" + NEVER,
}


@pytest.mark.parametrize("name", template.names())
def test_what_we_ship_is_clean(name: str) -> None:
    assert audit(build.build_image(name).linked) == []


@pytest.mark.parametrize("name", BAD)
def test_complaint(name: str) -> None:
    code, complaint = BAD[name]
    found = audit(link(f"{header()}start:\n{code}"))
    assert any(complaint in line and line.startswith("t.s:") for line in found), found


@pytest.mark.parametrize("name", GOOD)
def test_no_complaint(name: str) -> None:
    assert audit(link(f"{header()}start:\n{GOOD[name]}")) == []


@pytest.mark.parametrize("register", ["ecx", "esi", "edi", "eflags"])
def test_a_clobber_taken_away_is_missed(register: str) -> None:
    kept = [r for r in ("ecx", "esi", "edi", "eflags") if r != register]
    code = "start:\n xor ecx, ecx\n mov ecx, 4\n rep movsd\n ret\n"
    found = audit(link(header(clobbers=", ".join(kept)) + code))
    assert found and all(f"changes {register}," in line for line in found)
