"""Kernels of a few instructions, for what a guest does that no kernel at hand does so soon."""

from keystone import KS_ARCH_X86, KS_MODE_32, Ks

from fwbuild.firmware.test_kernel import BASE, STACK_END
from fwbuild.image.elf import Segment, pvh_note, write_elf

READ_WRITE_EXECUTE = 7


def assembled(source: str, mode: int = KS_MODE_32) -> bytes:
    """Code in Intel syntax that runs at BASE; `mode` and labels are as keystone has them."""
    code, _ = Ks(KS_ARCH_X86, mode).asm(source, BASE)
    return bytes(code)


def vmlinux(code: bytes, note_width: int = 4) -> bytes:
    """A vmlinux that is `code`, entered at its start. `note_width`: bytes of the note's
    descriptor, 4 or 8."""
    segment = Segment(BASE, code, STACK_END - BASE, READ_WRITE_EXECUTE)
    return write_elf([segment], [], BASE, pvh_note(BASE, note_width))


def pvh_kernel(source: str) -> bytes:
    """A vmlinux whose entry is the first instruction of `source`."""
    return vmlinux(assembled(source))
