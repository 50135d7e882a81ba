"""The mode that a CPU is in, and where its next instruction is."""

from collections.abc import Mapping
from dataclasses import dataclass

from fwbuild.abi.x86 import FLAGS_32, FLAGS_64, Cr0, Efer, Eflags

FLAGS_SHIFT = 20  # in a descriptor's upper half


@dataclass(frozen=True)
class Mode:
    """`bits` of an instruction: 16, 32 or 64. `base` is what EIP counts from: CS's hidden base,
    but 0 in 64-bit code."""

    bits: int
    name: str
    selector: int
    base: int
    ip: int

    @property
    def linear(self) -> int:
        """The linear address of the next instruction."""
        return self.ip if self.bits == 64 else (self.base + self.ip) & 0xFFFFFFFF

    def __str__(self) -> str:
        where = f"CS:IP {self.selector:04x}:{self.ip:04x}, CS base {self.base:08x}"
        return f"{self.name}, {where}, linear {self.linear:08x}"


def mode_of(registers: Mapping[str, int]) -> Mode:
    """The mode by registers as QEMU's monitor shows them; the flags of CS are its descriptor's
    upper half. Source: Intel SDM volume 3A, 2.2 "Modes of Operation" and 3.4.5."""
    flags = registers["cs_flags"] >> FLAGS_SHIFT
    selector, base = registers["cs"], registers["cs_base"]
    ip = registers.get("rip", registers.get("eip", 0))
    if registers["efer"] & Efer.LMA and flags & FLAGS_64:
        return Mode(64, "64-bit mode", selector, 0, ip)
    bits = 32 if flags & FLAGS_32 else 16
    if not registers["cr0"] & Cr0.PE:
        name = "real mode" if bits == 16 else "real mode with a 32-bit CS"
    elif registers["eflags"] & Eflags.VM:
        bits, name = 16, "virtual-8086 mode"
    else:
        name = f"{bits}-bit protected mode"
    return Mode(bits, name, selector, base, ip)
