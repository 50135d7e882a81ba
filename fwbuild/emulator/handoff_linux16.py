"""What a bzImage's setup code finds at its 16-bit entry, read back from guest memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fwbuild.abi import bios, e820, linux_boot
from fwbuild.emulator.handoff import numbers, read_string
from fwbuild.firmware import layout, work


@dataclass(frozen=True)
class SetupHandoff:
    """The setup code's header at `address`, the BIOS's vectors (segment, offset) and data area,
    and the memory map that INT 15h tells."""

    address: int
    header: Any
    vectors: list[tuple[int, int]]
    bda: Any
    memmap: list[Any]
    cmdline: bytes

    def plain(self) -> dict[str, Any]:
        """The same as numbers and text, for JSON and for comparing."""
        return {
            "address": self.address,
            "header": numbers(self.header),
            "bda": numbers(self.bda),
            "memmap": [numbers(m) for m in self.memmap],
            "cmdline": self.cmdline.decode("latin-1"),
        }

    def summary(self) -> list[tuple[str, str]]:
        """What a user wants to see of it but the memory map."""
        header = self.header
        lines = [
            ("setup code", f"{self.address:#x}, protocol {header.version:#x}"),
            ("command line", f"'{self.cmdline.decode('latin-1')}'"),
        ]
        if header.ramdisk_size:
            lines.append(("initrd", f"{header.ramdisk_image:#x}, {header.ramdisk_size} bytes"))
        return lines


def read_setup_handoff(read: Callable[[int, int], bytes], segment: int) -> SetupHandoff:
    """Follow DS. `read(address, size)` raises MemoryError where there is no memory."""
    address = segment << 4
    header = linux_boot.SETUP_HEADER.parse(read(address, linux_boot.SETUP_HEADER.sizeof()))
    words = read(0, 4 * bios.VECTORS)
    vectors = [
        (int.from_bytes(words[i + 2 : i + 4], "little"), int.from_bytes(words[i : i + 2], "little"))
        for i in range(0, len(words), 4)
    ]
    data = work.BIOS_DATA.parse(read(layout.BIOS.base, work.BIOS_DATA.sizeof()))
    count = min(data.memmap_size // e820.ENTRY.sizeof(), len(data.memmap))
    return SetupHandoff(
        address,
        header,
        vectors,
        bios.BDA.parse(read(bios.BDA_BASE, bios.BDA.sizeof())),
        data.memmap[:count],
        read_string(read, header.cmd_line_ptr),
    )
