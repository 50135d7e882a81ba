"""Another CPU for the emulated machine, as far as CPUID tells."""

from collections.abc import Mapping

from unicorn import UC_HOOK_INSN, Uc
from unicorn import x86_const as ux

from fwbuild.emulator.machine import Machine

NAMES = tuple(getattr(ux, f"UC_X86_REG_{name}") for name in ("EAX", "EBX", "ECX", "EDX"))
Answer = tuple[int, int, int, int]  # EAX, EBX, ECX, EDX
HIGHEST = (0, 0)  # the leaf that says which is the last


def answer(machine: Machine, leaves: Mapping[tuple[int, int], Answer]) -> None:
    """Let CPUID answer these (leaf, subleaf); what else is asked for is the emulator's CPU's,
    or 0 for other subleaves of the same leaves."""
    known = {leaf for leaf, _ in leaves}

    def cpuid(uc: Uc, _data: object) -> int:
        leaf, subleaf = (uc.reg_read(r) for r in (ux.UC_X86_REG_EAX, ux.UC_X86_REG_ECX))
        found = leaves.get((leaf, subleaf))
        if found is None and leaf in known:
            found = leaves.get((leaf, 0), (0, 0, 0, 0)) if leaf in WITHOUT_SUBLEAVES else (0,) * 4
        if found is None:
            return 0
        for register, value in zip(NAMES, found, strict=True):
            uc.reg_write(register, value)
        return 1

    machine.uc.hook_add(UC_HOOK_INSN, cpuid, None, 1, 0, ux.UC_X86_INS_CPUID)


WITHOUT_SUBLEAVES = (0, 1, 0x80000000, 0x80000001, 0x80000008)  # ECX is not looked at
