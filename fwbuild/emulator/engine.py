"""Unicorn's engine, which has to be made with care."""

import mmap

from unicorn import UC_ARCH_X86, UC_MODE_32, Uc

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.shortage import HINT, MACHINE, has_memory

TRANSLATIONS = 1 << 30  # bytes of address space, for the code that it makes
RUNNABLE = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC


def engine() -> Uc:
    """A 32-bit x86 CPU. Raises FwbuildError where there is no room for its translations: unicorn
    itself would end the process. Source: unicorn, qemu/accel/tcg/translate-all.c."""
    if not has_memory(TRANSLATIONS, RUNNABLE):
        what = f"no {TRANSLATIONS >> 30} GiB of address space for the emulated CPU"
        raise FwbuildError(ExitCode.INPUT, what, where=MACHINE, hint=HINT)
    return Uc(UC_ARCH_X86, UC_MODE_32)
