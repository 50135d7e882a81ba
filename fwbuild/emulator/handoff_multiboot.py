"""What a Multiboot kernel was handed, read back from guest memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fwbuild.abi import multiboot
from fwbuild.emulator.handoff import MODULES_MAX, numbers, read_string

MMAP_MAX = 0x10000  # bytes


@dataclass(frozen=True)
class MultibootHandoff:
    """The information and what it points at, parsed by abi.multiboot's declarations. `modules`
    are (start, end, command line)."""

    address: int
    info: Any
    memmap: list[Any]
    cmdline: bytes
    loader: bytes
    modules: list[tuple[int, int, bytes]]

    def plain(self) -> dict[str, Any]:
        """The same as numbers and text, for JSON and for comparing."""
        return {
            "address": self.address,
            "info": numbers(self.info),
            "memmap": [numbers(m) for m in self.memmap],
            "cmdline": self.cmdline.decode("latin-1"),
            "loader": self.loader.decode("latin-1"),
            "modules": [
                {"start": start, "end": end, "cmdline": text.decode("latin-1")}
                for start, end, text in self.modules
            ],
        }

    def summary(self) -> list[tuple[str, str]]:
        """What a user wants to see of it but the memory map."""
        lines = [
            ("information", f"{self.address:#x}, flags {self.info.flags:#x}"),
            ("command line", f"'{self.cmdline.decode('latin-1')}'"),
        ]
        return lines + [
            ("module", f"{start:#x}, {end - start} bytes, '{text.decode('latin-1')}'")
            for start, end, text in self.modules
        ]


def read_multiboot_handoff(read: Callable[[int, int], bytes], ebx: int) -> MultibootHandoff:
    """Follow EBX. `read(address, size)` raises MemoryError where there is no memory."""
    info = multiboot.INFO.parse(read(ebx, multiboot.INFO.sizeof()))
    memmap, modules = [], []
    at, end = info.mmap_addr, info.mmap_addr + min(info.mmap_length, MMAP_MAX)
    while at < end:
        entry = multiboot.MMAP_ENTRY.parse(read(at, multiboot.MMAP_ENTRY.sizeof()))
        memmap.append(entry)
        at += entry.entry_size + 4
    for number in range(min(info.mods_count, MODULES_MAX)):
        size = multiboot.MODULE.sizeof()
        module = multiboot.MODULE.parse(read(info.mods_addr + number * size, size))
        modules.append((module.start, module.end, read_string(read, module.cmdline)))
    cmdline, loader = (read_string(read, a) for a in (info.cmdline, info.boot_loader_name))
    return MultibootHandoff(ebx, info, memmap, cmdline, loader, modules)
