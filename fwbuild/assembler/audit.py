"""Holds every routine to its contract, by what its disassembly writes.

The scan is linear. What a routine calls, or ends in, writes what its own contract says;
a jump to a routine that never returns writes nothing that anybody sees.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from capstone import CsInsn
from capstone.x86 import X86_OP_REG

from fwbuild.assembler.check import DISASSEMBLERS
from fwbuild.assembler.encoder import split_mnemonic
from fwbuild.assembler.link import CODE, ENDS, Encoded, Linked
from fwbuild.assembler.operand import is_branch
from fwbuild.assembler.source import Fragment

FULL = {
    part: full
    for full, parts in {
        "eax": "al ah ax", "ebx": "bl bh bx", "ecx": "cl ch cx", "edx": "dl dh dx",
        "esi": "si", "edi": "di", "ebp": "bp", "esp": "sp", "eflags": "flags",
    }.items()
    for part in parts.split()
}  # fmt: skip
UNSEEN = frozenset("eip ip".split())
TARGET = re.compile(r"\. \+ (-?0x[0-9a-f]+)$")
PUSHES = {"pushf": "eflags", "pushfd": "eflags"}
POPS = {"popf": "eflags", "popfd": "eflags"}
STACK = frozenset("push pop call ret retf iret iretd".split()) | PUSHES.keys() | POPS.keys()


PUSHAD = tuple("eax ecx edx ebx (esp) ebp esi edi".split())

RETURNS = ("ret", "retf")
FAR_ADDRESS = 2  # values on the stack


@dataclass
class Saved:
    """A value on the stack: the register it came from, whether that was written since."""

    register: str
    written: bool = False


Stack = tuple[Saved, ...]


@dataclass
class Audit:
    """The scan of one routine."""

    linked: Linked
    fragment: Fragment
    by_address: dict[int, Fragment]
    problems: list[str] = field(default_factory=list)
    stack: Stack = ()
    states: dict[int, Stack] = field(default_factory=dict)
    doomed: set[int] = field(default_factory=set)
    interrupt: bool = False  # it ends in iret, which brings back the flags

    def run(self) -> list[str]:
        reached = True
        lines = self.linked.lines[self.fragment.name]
        ends = {split_mnemonic(line.statement.text.removeprefix(".att "))[1] for line in lines}
        self.interrupt = any(end.startswith("iret") for end in ends)
        self.doomed = self.find_doomed(lines)
        for line in lines:
            known = self.states.get(line.address)
            if not reached:
                self.stack = known or ()
            elif known is not None:
                self.meet(line, known)
            self.states[line.address] = self.stack
            for insn in instructions(line):
                self.instruction(line, insn)
            mnemonic = split_mnemonic(line.canonical)[1]
            reached = mnemonic not in ENDS
        return self.problems

    def find_doomed(self, lines: list[Encoded]) -> set[int]:
        """The addresses from which control surely ends in a routine that never returns."""
        found: set[int] = set()
        doomed = False
        for line in reversed(lines):
            mnemonic = split_mnemonic(line.canonical)[1]
            callee = self.by_address.get(target_of(line) or 0)
            if mnemonic == "jmp" and callee and callee is not self.fragment:
                doomed = not callee.contract.returns
            elif mnemonic in ENDS or (is_branch(mnemonic) and mnemonic != "call"):
                doomed = False
            if doomed:
                found.add(line.address)
        return found

    def complain(self, line: Encoded, what: str) -> None:
        name = self.fragment.name
        self.problems.append(f"{line.statement.where}: {name}: '{line.statement.text}' {what}")

    def meet(self, line: Encoded, other: Stack) -> None:
        """Two ways to a line must come with the same stack."""
        if [s.register for s in other] != [s.register for s in self.stack]:
            self.complain(line, "is reached with different stacks")

    def instruction(self, line: Encoded, insn: CsInsn) -> None:
        if insn.mnemonic in ("pushal", "popal"):
            self.all_registers(line, insn)
            return
        if insn.mnemonic in ("pushaw", "popaw"):
            self.complain(line, "cannot be followed")
            return
        popped = self.pop(insn)
        for register in sorted(writes(insn)):
            if not popped or register != popped.register:
                self.write(line, register)
        if popped and popped.register not in writes(insn) and popped.written:
            self.write(line, popped.register)
        self.push(insn)
        target = target_of(line)
        if target is not None:
            self.branch(line, insn, target)
        elif insn.mnemonic in RETURNS:
            # a far return may be a jump to the segment and the address that were pushed
            taken = FAR_ADDRESS if insn.mnemonic == "retf" else 0
            if len(self.stack) not in (0, taken):
                self.complain(line, f"leaves {len(self.stack)} values on the stack")

    def push(self, insn: CsInsn) -> None:
        if insn.mnemonic in PUSHES:
            self.stack = (*self.stack, Saved(PUSHES[insn.mnemonic]))
        elif insn.mnemonic == "push":
            op = insn.operands[0]
            name = insn.reg_name(op.reg) if op.type == X86_OP_REG else ""
            self.stack = (*self.stack, Saved(FULL.get(name, name)))

    def all_registers(self, line: Encoded, insn: CsInsn) -> None:
        """pushad and popad."""
        if insn.mnemonic == "pushal":
            self.stack = (*self.stack, *(Saved(name) for name in PUSHAD))
        elif tuple(s.register for s in self.stack[-len(PUSHAD) :]) == PUSHAD:
            self.stack = self.stack[: -len(PUSHAD)]
        else:
            self.complain(line, "meets something else than pushad's registers")

    def pop(self, insn: CsInsn) -> Saved | None:
        if insn.mnemonic != "pop" and insn.mnemonic not in POPS:
            return None
        if not self.stack:
            return Saved("the caller's stack", written=True)
        *rest, top = self.stack
        self.stack = tuple(rest)
        return top

    def branch(self, line: Encoded, insn: CsInsn, target: int) -> None:
        callee = self.by_address.get(target)
        is_call = insn.mnemonic == "call"
        if callee and (is_call or callee is not self.fragment):
            if not callee.contract.returns:
                return
            for register in sorted({*callee.contract.outputs, *callee.contract.clobbers}):
                self.write(line, register)
            if self.stack and not is_call:
                self.complain(line, f"leaves {len(self.stack)} values on the stack")
        elif target in self.states:
            self.meet(line, self.states[target])
        else:
            self.states[target] = self.stack

    def write(self, line: Encoded, register: str) -> None:
        saved = [s for s in self.stack if s.register == register]
        for item in saved:
            item.written = True
        contract = self.fragment.contract
        if line.address in self.doomed or (self.interrupt and register == "eflags"):
            return
        if not saved and register not in {*contract.outputs, *contract.clobbers}:
            self.complain(line, f"changes {register}, which the contract does not say")


def target_of(line: Encoded) -> int | None:
    """Where a relative branch goes in the end."""
    if line.goal is not None:
        return line.goal
    found = TARGET.search(line.canonical)
    return (line.address + int(found[1], 16)) % (1 << 32) if found else None


def instructions(line: Encoded) -> Iterator[CsInsn]:
    """The instruction of a line, if it is one."""
    if line.statement.kind in CODE:
        yield from DISASSEMBLERS[line.statement.bits].disasm(line.code, line.address)


def writes(insn: CsInsn) -> set[str]:
    """The registers that an instruction changes, by their 32-bit names."""
    names = (insn.reg_name(register) for register in insn.regs_access()[1])
    found = {FULL.get(name, name) for name in names} - UNSEEN
    return found - {"esp"} if insn.mnemonic in STACK else found


def audit(linked: Linked) -> list[str]:
    """Each thing that a routine does and its contract does not say; [] when all is well."""
    by_address = {linked.addresses[f.name]: f for f in linked.fragments}
    problems: list[str] = []
    for fragment in linked.fragments:
        if fragment.contract.kind != "data":
            problems += Audit(linked, fragment, by_address).run()
    return problems
