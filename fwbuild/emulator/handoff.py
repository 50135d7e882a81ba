"""What a PVH kernel was handed, read back from guest memory.

It needs only a way to read memory and EBX, so that it serves the emulator and a QEMU that is
stopped at the entry alike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fwbuild.abi import pvh

MODULES_MAX = 64
STRING_MAX = 1 << 17


@dataclass(frozen=True)
class Handoff:
    """start_info and what it points at, parsed by abi.pvh's declarations."""

    address: int
    start_info: Any
    modules: list[Any]
    memmap: list[Any]
    cmdline: bytes

    def plain(self) -> dict[str, Any]:
        """The same as numbers and text, for JSON and for comparing."""

        return {
            "address": self.address,
            "start_info": numbers(self.start_info),
            "modules": [numbers(m) for m in self.modules],
            "memmap": [numbers(m) for m in self.memmap],
            "cmdline": self.cmdline.decode("latin-1"),
        }

    def summary(self) -> list[tuple[str, str]]:
        """What a user wants to see of it but the memory map."""
        lines = [
            ("hvm_start_info", f"{self.address:#x}, version {self.start_info.version}"),
            ("command line", f"'{self.cmdline.decode('latin-1')}'"),
        ]
        return lines + [("module", f"{m.paddr:#x}, {m.size} bytes") for m in self.modules]


def numbers(entry: Any) -> dict[str, int]:
    """The numbers in a parsed structure, by their names."""
    return {k: int(v) for k, v in entry.items() if isinstance(v, int)}


def read_handoff(read: Callable[[int, int], bytes], ebx: int) -> Handoff:
    """Follow EBX. `read(address, size)` raises MemoryError where there is no memory."""
    info = pvh.START_INFO.parse(read(ebx, pvh.START_INFO.sizeof()))

    def table(address: int, count: int, entry: Any) -> list[Any]:
        size = entry.sizeof()
        data = read(address, count * size) if count else b""
        return [entry.parse(data[i : i + size]) for i in range(0, len(data), size)]

    return Handoff(
        ebx,
        info,
        table(info.modlist_paddr, min(info.nr_modules, MODULES_MAX), pvh.MODLIST_ENTRY),
        table(info.memmap_paddr, min(info.memmap_entries, 1 << 10), pvh.MEMMAP_ENTRY),
        read_string(read, info.cmdline_paddr) if info.cmdline_paddr else b"",
    )


def read_string(read: Callable[[int, int], bytes], address: int) -> bytes:
    """The bytes up to a zero, which is not part of them."""
    found = b""
    while b"\0" not in found and len(found) < STRING_MAX:
        found += read(address + len(found), 256)
    return found.partition(b"\0")[0]
