"""Errors that a user sees: one line with what, where and a hint, and a documented exit code."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of `fwbuild`. They are stable, and listed in docs/errors.md."""

    OK = 0
    INTERNAL = 1  # a bug of fwbuild's
    USAGE = 2  # the command line
    INPUT = 3  # a file that is missing, unreadable or not what it should be
    ASSEMBLY = 4  # a line of assembly
    LAYOUT = 5  # a region that overflows or overlaps
    TEMPLATE = 6  # a template
    KERNEL = 7  # a kernel that cannot be used
    JUDGEMENT = 8  # the handoff departs from the ABI
    STOPPED = 9  # the firmware stopped with a stop code
    QEMU = 10  # QEMU is missing, or failed
    INTERRUPTED = 130


class FwbuildError(Exception):
    """What is wrong, where, and what to do about it."""

    def __init__(self, code: ExitCode, what: str, *, where: str = "", hint: str = "") -> None:
        self.code = code
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        hint = f" (hint: {self.hint})" if self.hint else ""
        return f"{where}{self.what}{hint}".replace("\n", " ")
