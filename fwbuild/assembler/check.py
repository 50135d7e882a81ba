"""Reads an encoding back with capstone and says how it differs from what was written."""

from capstone import CS_ARCH_X86, CS_MODE_16, CS_MODE_32, CS_MODE_64, Cs, CsInsn
from capstone.x86 import X86_OP_IMM, X86_OP_MEM, X86_OP_REG, X86Op

from fwbuild.assembler.operand import REGISTERS, Immediate, Memory, Operand, Register, is_branch

MODES = {16: CS_MODE_16, 32: CS_MODE_32, 64: CS_MODE_64}
# Two names of one instruction: ours on the left, capstone's on the right.
ALIASES = {
    "pushad": "pushal", "popad": "popal",
    "jz": "je", "jnz": "jne", "jc": "jb", "jnc": "jae", "jnb": "jae", "jnbe": "ja",
    "setz": "sete", "setnz": "setne", "setc": "setb", "setnc": "setae",
    "cmovz": "cmove", "cmovnz": "cmovne", "cmovc": "cmovb", "cmovnc": "cmovae",
}  # fmt: skip
# Widths of the immediate that the first operand does not tell.
SHORT_IMMEDIATES = frozenset("shl shr sar rol ror rcl rcr shld shrd bt bts btr int in out".split())
# Instructions that a 66 prefix gives another size though no operand tells.
RESIZED = {
    16: frozenset("cdq cwde iretd popad popfd pushad pushfd".split()),
    32: frozenset("cbw cwd".split()),
    64: frozenset[str](),
}
TABLE_LOADS = frozenset("lgdt lidt sgdt sidt".split())
SEGMENTS = frozenset("cs ds es fs gs ss".split())
OPERAND_SIZE = 0x66

Wanted = tuple[str, str, list[Operand]]


def _disassembler(bits: int) -> Cs:
    cs = Cs(CS_ARCH_X86, MODES[bits])
    cs.detail = True
    return cs


DISASSEMBLERS = {bits: _disassembler(bits) for bits in MODES}


def difference(code: bytes, bits: int, address: int, wanted: Wanted | None) -> str:
    """ "" when `code` is one instruction and does what `wanted` (prefix, mnemonic, operands)
    says, else what is wrong. None asks only for one whole instruction."""
    read = list(DISASSEMBLERS[bits].disasm(code, address))
    if len(read) != 1 or read[0].size != len(code):
        return f"it reads as {len(read)} instructions"
    if wanted is None:
        return ""
    prefix, mnemonic, operands = wanted
    name = " ".join(filter(None, (prefix, ALIASES.get(mnemonic, mnemonic))))
    if read[0].mnemonic != name:
        return f"it reads as '{read[0].mnemonic} {read[0].op_str}'"
    if problem := _size(read[0], bits):
        return problem
    if not operands:
        return ""
    if len(operands) != len(read[0].operands):
        return f"it has {len(read[0].operands)} operands"
    for ours, theirs in zip(operands, read[0].operands, strict=True):
        problem = _operand(ours, theirs, read[0], mnemonic, bits)
        if problem:
            return problem
    return ""


def _size(insn: CsInsn, bits: int) -> str:
    """A fault of the operand size, or nothing. keystone puts the 66 prefix on instructions whose
    operands do not tell their size, or leaves it off."""
    prefixed = OPERAND_SIZE in insn.prefix
    if insn.mnemonic in TABLE_LOADS:
        if prefixed != (bits == 16):
            return "the table's base is cut to 24 bits: write it with .att and the suffix l"
        return ""
    if insn.mnemonic == "mov" and insn.reg_name(insn.operands[0].reg) == "cs":
        return "cs cannot be loaded"
    if not prefixed:
        return ""
    size = 4 if bits == 16 else 2
    told = any(
        op.size == size and op.type in (X86_OP_REG, X86_OP_MEM) and not _segment(op, insn)
        for op in insn.operands
    )
    if bits == 16 and insn.mnemonic in ("call", "jmp"):
        told = insn.operands[0].type == X86_OP_REG
    if told or insn.mnemonic in RESIZED[bits]:
        return ""
    return "it has another operand size than the mode's: write it with .att and a suffix"


def _segment(op: X86Op, insn: CsInsn) -> bool:
    return op.type == X86_OP_REG and insn.reg_name(op.reg) in SEGMENTS


def _operand(ours: Operand, theirs: X86Op, insn: CsInsn, mnemonic: str, bits: int) -> str:
    match ours:
        case Register(name=name):
            if theirs.type != X86_OP_REG or insn.reg_name(theirs.reg) != name:
                return f"{name} became something else in '{insn.op_str}'"
        case Immediate(value=value):
            return _immediate(value, theirs, insn, mnemonic, bits)
        case Memory():
            return _memory(ours, theirs, insn, bits)
    return ""


def _immediate(value: int, theirs: X86Op, insn: CsInsn, mnemonic: str, bits: int) -> str:
    first = insn.operands[0]
    if mnemonic in SHORT_IMMEDIATES:
        width = 1
    elif is_branch(mnemonic):
        width = 4
    elif first.type in (X86_OP_REG, X86_OP_MEM):
        width = first.size
    else:
        width = max(theirs.size, bits // 8)
    limit = 1 << 8 * width
    if not -(limit >> 1) <= value < limit:
        return f"{value:#x} does not fit {width} bytes"
    if theirs.type != X86_OP_IMM or (theirs.imm - value) % limit:
        return f"{value:#x} became something else in '{insn.op_str}'"
    return ""


def _memory(ours: Memory, theirs: X86Op, insn: CsInsn, bits: int) -> str:
    if theirs.type != X86_OP_MEM:
        return f"no memory operand in '{insn.op_str}'"
    mem = theirs.mem
    registers = [ours.base, ours.index]
    absolute = 2 if bits == 16 else insn.addr_size
    width = next((REGISTERS[r] for r in registers if r), absolute)
    got = [insn.reg_name(r) if r else "" for r in (mem.base, mem.index)]
    segment = insn.reg_name(mem.segment) if mem.segment else ""
    limit = 1 << 8 * width
    same = got == registers and (not ours.index or mem.scale == ours.scale)
    if not same or segment != ours.segment:
        return f"address registers differ in '{insn.op_str}'"
    if not -(limit >> 1) <= ours.displacement < limit or (mem.disp - ours.displacement) % limit:
        return f"displacement {ours.displacement:#x} differs in '{insn.op_str}'"
    if ours.size and theirs.size != ours.size:
        return f"operand is {theirs.size} bytes, not {ours.size}"
    return ""
