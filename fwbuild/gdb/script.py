"""The gdb script: symbols, sources, and commands that tell the mode.

It is plain gdb, without Python, which not every gdb has. The image's ELF is a symbol file, no
program: a program's architecture would win over that of the CPU's mode.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

AT_A_STOP = """\
define hook-stop
unset tdesc filename
end
"""
COMMANDS = """\
document hook-stop
Read the description of the registers again, since the CPU's mode may be another.
end

define fw-where
monitor fwbuild where
info line *$pc
x/3i $pc
end
document fw-where
Show the CPU's mode, CS:IP, the source line and the next instructions.
end

define fw-arch
monitor fwbuild arch $arg0
unset tdesc filename
end
document fw-arch
fw-arch 64: take every instruction for 64-bit code. Say it before a breakpoint in a 64-bit kernel.
fw-arch auto: follow the CPU's mode, as at the start. 16 and 32 are taken, too.
end
"""
# Up to the next stop, all is taken for 64-bit code: in another mode's registers gdb does not find
# its breakpoint above 4 GiB again. With an exit code the guest has ended, and nobody can be asked.
WIDE = """\
fw-arch 64
define hook-stop
if $_isvoid($_exitcode)
monitor fwbuild arch auto
end
unset tdesc filename
end
"""
# The sources are in Intel's syntax. `set osabi none`: there is no operating system, and gdb would
# warn of Linux's ABI in 16-bit code. Addresses have 64 bits for the kernel's breakpoints.
SETTINGS = """\
set confirm off
set osabi none
set remoteaddresssize 64
set disassembly-flavor intel
set disassemble-next-line auto
"""
TOP_32 = 0xFFFFFFFF


@dataclass(frozen=True)
class Script:
    """What one session needs.

    elf:    the image's, None where it is not known.
    asm:    the folder of the sources, for names that begin with "asm/".
    kernel: an ELF kernel with symbols, or None.
    socket: where the relay listens.
    stops:  the addresses to run to, the first that comes; none to stay at the reset vector.
    """

    elf: Path | None
    asm: Path
    kernel: Path | None
    socket: Path
    stops: Sequence[int] = ()

    def text(self) -> str:
        """The script."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield SETTINGS + AT_A_STOP + COMMANDS
        yield f"set substitute-path asm {_quoted(self.asm)}"
        if self.elf:
            yield f"symbol-file {_quoted(self.elf)}"
        if self.kernel:
            yield f"add-symbol-file {_quoted(self.kernel)}"
        connect = f"target remote {self.socket}"
        if self.elf:  # as a program too while gdb connects, for it warns where there is none
            yield from (f"exec-file {_quoted(self.elf)}", connect, "exec-file")
        else:
            yield connect
        if self.stops:
            yield from self._run_to_a_stop()

    def _run_to_a_stop(self) -> Iterator[str]:
        wide = any(at > TOP_32 for at in self.stops)
        if wide:
            yield WIDE
        yield from (f"thbreak *{at:#x}" for at in self.stops)
        yield "continue"
        if len(self.stops) > 1:
            yield "delete"
        if wide:
            yield AT_A_STOP


def _quoted(path: Path) -> str:
    """As a word of a gdb command."""
    return shlex.quote(str(path.absolute()))
