"""The gdb script: symbols, sources, and commands that tell the mode.

It is plain gdb, without Python, which not every gdb has. The image's ELF is a symbol file, no
program: a program's architecture would win over that of the CPU's mode.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

COMMANDS = """\
define hook-stop
unset tdesc filename
end
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
# The sources are in Intel's syntax. `set osabi none`: there is no operating system, and gdb would
# warn of Linux's ABI in 16-bit code. Addresses have 64 bits for the kernel's breakpoints.
SETTINGS = """\
set confirm off
set osabi none
set remoteaddresssize 64
set disassembly-flavor intel
set disassemble-next-line auto
"""


@dataclass(frozen=True)
class Script:
    """What one session needs.

    elf:    the image's, None where it is not known.
    asm:    the folder of the sources, for names that begin with "asm/".
    kernel: an ELF kernel with symbols, or None.
    socket: where the relay listens.
    stop:   the address to run to first, None to stay at the reset vector.
    """

    elf: Path | None
    asm: Path
    kernel: Path | None
    socket: Path
    stop: int | None = None

    def text(self) -> str:
        """The script."""
        lines = [SETTINGS + COMMANDS, f"set substitute-path asm {_quoted(self.asm)}"]
        if self.elf:
            lines.append(f"symbol-file {_quoted(self.elf)}")
        if self.kernel:
            lines.append(f"add-symbol-file {_quoted(self.kernel)}")
        lines.append(f"target remote {self.socket}")
        if self.stop is not None:
            lines += [f"thbreak *{self.stop:#x}", "continue"]
        return "\n".join(lines) + "\n"


def _quoted(path: Path) -> str:
    """As a word of a gdb command."""
    return shlex.quote(str(path.absolute()))
