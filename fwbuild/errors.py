"""Errors that a user sees: one line with what, where and a hint, and a documented exit code."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of `fwbuild`. They are stable, and listed in docs/errors.md."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    INPUT = 3
    ASSEMBLY = 4
    LAYOUT = 5
    TEMPLATE = 6
    KERNEL = 7
    JUDGEMENT = 8
    STOPPED = 9
    QEMU = 10
    PANICKED = 11
    TIMEOUT = 12
    UNEXPECTED = 13
    INTERRUPTED = 130
    BROKEN_PIPE = 141

    @property
    def meaning(self) -> str:
        """The reason to end with this code, in words."""
        return MEANINGS[self]


MEANINGS = {
    ExitCode.OK: "all went well",
    ExitCode.INTERNAL: "a bug of fwbuild's",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.INPUT: "a file is missing, cannot be read or written, or is wrong; or memory is short",
    ExitCode.ASSEMBLY: "a line of assembly is wrong",
    ExitCode.LAYOUT: "a region overflows or overlaps another",
    ExitCode.TEMPLATE: "a template is wrong",
    ExitCode.KERNEL: "a kernel cannot be used",
    ExitCode.JUDGEMENT: "the handoff departs from the protocol",
    ExitCode.STOPPED: "the firmware stopped with a stop code",
    ExitCode.QEMU: "QEMU is missing, failed, or was ended by a signal",
    ExitCode.PANICKED: "the guest panicked: it told pvpanic",
    ExitCode.TIMEOUT: "the guest was still running after --timeout",
    ExitCode.UNEXPECTED: "the guest missed what --expect wants, or no boot of a bench ended well",
    ExitCode.INTERRUPTED: "the user interrupted fwbuild",
    ExitCode.BROKEN_PIPE: "nobody reads the output any more, as behind `head -1`",
}


class FwbuildError(Exception):
    """An error of the user's input: what is wrong, where, and a hint."""

    def __init__(self, code: ExitCode, what: str, *, where: str = "", hint: str = "") -> None:
        self.code = code
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        hint = f" (hint: {self.hint})" if self.hint else ""
        text = f"{where}{self.what}{hint}".replace("\n", " ")
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
