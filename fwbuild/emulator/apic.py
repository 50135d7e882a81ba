"""The boot CPU's local APIC: a page of registers, and the IPIs it was asked to send.

Source: QEMU, hw/intc/apic.c: reset state, which bits stay, and that only dwords count. No
interrupt comes and the timer stands still; `on_startup` hears of each STARTUP and its vector.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fwbuild.abi.x86 import (
    APIC_ICR_DESTINATION_SHIFT,
    APIC_ICR_MODE,
    APIC_ICR_STARTUP,
    APIC_ICR_VECTOR,
    APIC_LVT_EXTINT,
    APIC_LVT_MASKED,
)
from fwbuild.abi.x86 import Apic as Register

VERSION = 0x50014  # six LVT entries, an integrated APIC
STRIDE = 16
LVTS = range(Register.LVT_TIMER, Register.LVT_ERROR + 1, STRIDE)
WRITABLE: dict[int, int] = {  # QEMU keeps these bits
    Register.ID: 0xFF000000,
    Register.TPR: 0xFF,
    Register.LOGICAL_DESTINATION: 0xFF000000,
    Register.DESTINATION_FORMAT: 0xF0000000,
    Register.SPURIOUS: 0x1FF,
    Register.ICR_LOW: 0xFFFFFFFF,
    Register.ICR_HIGH: 0xFFFFFFFF,
    Register.TIMER_INITIAL: 0xFFFFFFFF,
    Register.TIMER_DIVIDE: 0xB,
    **dict.fromkeys(LVTS, 0xFFFFFFFF),
}


@dataclass(frozen=True)
class Ipi:
    """An interprocessor interrupt: ICR's low half, and the APIC ID it is for."""

    command: int
    destination: int


class Apic:
    """The registers by offset; `ipis` in the order in which they were sent."""

    def __init__(self) -> None:
        self._values: dict[int, int] = {
            Register.VERSION: VERSION,
            Register.DESTINATION_FORMAT: 0xFFFFFFFF,
            Register.SPURIOUS: 0xFF,
            **dict.fromkeys(LVTS, APIC_LVT_MASKED),
            Register.LVT_LINT0: APIC_LVT_EXTINT,
        }
        self.ipis: list[Ipi] = []
        self.on_startup: Callable[[int], None] = lambda _vector: None

    def read(self, offset: int, size: int) -> int:
        return self._values.get(offset & -STRIDE, 0) if size == 4 else 0

    def write(self, offset: int, size: int, value: int) -> None:
        register = offset & -STRIDE  # QEMU ignores where in its 16 bytes it is accessed
        mask = WRITABLE.get(register, 0)
        if size != 4 or not mask:
            return
        self._values[register] = self._values.get(register, 0) & ~mask | value & mask
        if register == Register.ICR_LOW:
            high = self._values.get(Register.ICR_HIGH, 0)
            self.ipis.append(Ipi(value, high >> APIC_ICR_DESTINATION_SHIFT))
            if value & APIC_ICR_MODE == APIC_ICR_STARTUP:
                self.on_startup(value & APIC_ICR_VECTOR)
