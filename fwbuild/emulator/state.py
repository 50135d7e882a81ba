"""A guest that has stopped, at its kernel's entry if all went well.

The emulated machine has one, and so has a real QEMU whose processor a debugger has stopped: one
judge serves both.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from fwbuild.emulator.recording import Recording
from fwbuild.firmware.options import BootProtocol
from fwbuild.kernel.placed import Placed

ReadMemory = Callable[[int, int], bytes]


class Hidden(NamedTuple):
    """A segment register's hidden part, by which the CPU works: base, limit in bytes, and the
    descriptor's access byte."""

    base: int
    limit: int
    access: int

    def __str__(self) -> str:
        return f"base {self.base:#x} limit {self.limit:#x} access {self.access:#x}"


class End(StrEnum):
    """How a run of the firmware ended."""

    HANDOFF = "handoff"  # the kernel was entered
    EXIT = "exit"  # a write to isa-debug-exit
    HALT = "halt"  # for good
    WAIT = "wait"  # a halt that an interrupt would end
    LIMIT = "limit"  # more instructions than were allowed
    RESET = "reset"  # a triple fault
    FAULT = "fault"  # an exception that nobody handled, or an access that QEMU refuses
    RUNNING = ""  # the kernel has been entered, and runs


@dataclass(frozen=True, kw_only=True)
class State:
    """All that a judge may look at.

    protocol:  the boot protocol that the host expects for the kernel.
    end:       how the run ended, `detail` in words.
    registers: general registers, EIP, EFLAGS, selectors, CR0, CR3, CR4 and EFER by lower-case
               name.
    gdtr:      base and limit; tr is the task register's selector.
    hidden:    the hidden parts of segment registers and TR by name; empty where they cannot be
               seen, as in the emulated machine.
    read:      read(address, size) gives guest memory; MemoryError where there is none.
    host:      what the host offers through fw_cfg and PCI.
    items:     fw_cfg's numeric items by key, those of the kernel included.
    file:      file(name) gives the contents of a fw_cfg file now, b"" of one that is not there.
    segments:  the kernel in RAM, whoever loaded it.
    laid:      what a baked guest's RAM file has besides the kernel.
    told:      whether the guest can write to fw_cfg files and `file` shows that.
    writes:    pages that the guest wrote; None where nobody has kept count.
    own:       whether the firmware is fwbuild's: it takes RAM as ACPI NVS alone, and adds no
               range of its own. Another may reserve RAM for itself and add ranges.
    """

    protocol: BootProtocol
    end: End
    detail: str = ""
    registers: Mapping[str, int]
    gdtr: tuple[int, int]
    tr: int
    read: ReadMemory
    host: Recording
    items: Mapping[int, bytes]
    file: Callable[[str], bytes]
    hidden: Mapping[str, Hidden] = field(default_factory=dict)
    segments: Sequence[Placed] = ()
    laid: Sequence[Placed] = ()
    told: bool = False
    writes: frozenset[int] | None = None
    own: bool = True
