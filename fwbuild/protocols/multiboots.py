"""What both versions of Multiboot have in common."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fwbuild.abi import e820, x86
from fwbuild.emulator.state import State
from fwbuild.protocols.checks import (
    clear_flags,
    flat_segments,
    loaded,
    module_files,
    protected_mode,
)
from fwbuild.protocols.protocol import Handoff


@dataclass(frozen=True, kw_only=True)
class ModulesHandoff(Handoff):
    """A handoff with modules: (start, end, command line)."""

    modules: list[tuple[int, int, bytes]]

    def module_areas(self) -> dict[str, tuple[int, int]]:
        """(address, bytes) of each module."""
        return {
            f"module {i}": (start, end - start) for i, (start, end, _) in enumerate(self.modules)
        }

    def pieces(self) -> list[tuple[str, str]]:
        return [
            ("module", f"{start:#x}, {end - start} bytes, '{text.decode('latin-1')}'")
            for start, end, text in self.modules
        ]


def machine_state(state: State, magic: int) -> Iterator[str]:
    """Each departure of the processor's state; `magic` is what EAX has to hold."""
    if state.registers["eax"] != magic:
        yield f"EAX is {state.registers['eax']:#x}, not the magic"
    yield from protected_mode(state)
    yield from clear_flags(state, x86.Eflags.VM, x86.Eflags.IF)
    yield from flat_segments(state)


def basic_memory(memmap: Sequence[Any]) -> dict[str, int]:
    """mem_lower and mem_upper: KiB of RAM from 0, and from 1 MiB to the first hole."""
    ram = [(m.addr, m.size) for m in memmap if m.type == e820.Type.RAM]
    starts = {"mem_lower": 0, "mem_upper": e820.EXTENDED}
    return {
        name: sum(size for address, size in ram if address == start) >> 10
        for name, start in starts.items()
    }


def files_modules(state: State, handoff: ModulesHandoff) -> Iterator[str]:
    """Each departure of the kernel and the modules from the files of fw_cfg that they come from."""
    found = [(start, end - start, text) for start, end, text in handoff.modules]
    yield from module_files(state, found)
    yield from loaded(state, found)
