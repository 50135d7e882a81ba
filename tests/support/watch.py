"""Sees instructions of an emulated run before they are executed, and reads the IDTR."""

from collections.abc import Callable

from unicorn import UC_HOOK_CODE
from unicorn import x86_const as ux

from fwbuild.emulator.machine import Machine

REAL_MODE_IDT = (0, 0x3FF)  # IDTR as after a reset: Intel SDM volume 3A, 9.1.1
WRMSR, CPUID, PAUSE = b"\x0f\x30", b"\x0f\xa2", b"\xf3\x90"


def on(machine: Machine, code: bytes, then: Callable[[int], None]) -> None:
    """Call `then` with the address of each instruction of these bytes."""

    def look(_uc: object, address: int, size: int, _data: object) -> None:
        if size == len(code) and machine.read(address, size) == code:
            then(address)

    machine.uc.hook_add(UC_HOOK_CODE, look)


def idtr(machine: Machine) -> tuple[int, int]:
    """The base and the limit of the interrupt vectors."""
    _, base, limit, _ = machine.uc.reg_read(ux.UC_X86_REG_IDTR)
    return base, limit


def msrs(machine: Machine) -> list[tuple[int, int]]:
    """The number and the value of each MSR that is going to be written, by every CPU."""
    written: list[tuple[int, int]] = []

    def note(_address: int) -> None:
        ecx, eax, edx = (
            machine.uc.reg_read(getattr(ux, f"UC_X86_REG_{r}")) for r in ("ECX", "EAX", "EDX")
        )
        written.append((ecx, edx << 32 | eax))

    on(machine, WRMSR, note)
    return written
