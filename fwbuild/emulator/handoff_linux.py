"""What a bzImage was handed at its 32-bit entry, read back from guest memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fwbuild.abi import linux_boot
from fwbuild.emulator.handoff import numbers, read_string

SETUP_DATA_MAX = 16


@dataclass(frozen=True)
class LinuxHandoff:
    """boot_params and what it points at, parsed by abi.linux_boot's declarations. `setup_data`
    are (type, bytes) of each item of the list."""

    address: int
    boot_params: Any
    memmap: list[Any]
    cmdline: bytes
    setup_data: list[tuple[int, bytes]]

    def plain(self) -> dict[str, Any]:
        """The same as numbers and text, for JSON and for comparing."""
        return {
            "address": self.address,
            "header": numbers(self.boot_params.hdr),
            "acpi_rsdp_addr": self.boot_params.acpi_rsdp_addr,
            "memmap": [numbers(m) for m in self.memmap],
            "setup_data": [{"type": kind, "data": data.hex()} for kind, data in self.setup_data],
            "cmdline": self.cmdline.decode("latin-1"),
        }

    def summary(self) -> list[tuple[str, str]]:
        """What a user wants to see of it but the memory map."""
        header = self.boot_params.hdr
        lines = [
            ("boot_params", f"{self.address:#x}, protocol {header.version:#x}"),
            ("command line", f"'{self.cmdline.decode('latin-1')}'"),
        ]
        if header.ramdisk_size:
            lines.append(("initrd", f"{header.ramdisk_image:#x}, {header.ramdisk_size} bytes"))
        return lines + [("setup_data", f"type {k}, {len(d)} bytes") for k, d in self.setup_data]


def read_linux_handoff(read: Callable[[int, int], bytes], esi: int) -> LinuxHandoff:
    """Follow ESI. `read(address, size)` raises MemoryError where there is no memory."""
    params = linux_boot.BOOT_PARAMS.parse(read(esi, linux_boot.BOOT_PARAMS.sizeof()))
    setup_data: list[tuple[int, bytes]] = []
    at = params.hdr.setup_data
    while at and len(setup_data) < SETUP_DATA_MAX:
        size = linux_boot.SETUP_DATA.sizeof()
        item = linux_boot.SETUP_DATA.parse(read(at, size))
        setup_data.append((item.type, read(at + size, item.len)))
        at = item.next
    entries = min(params.e820_entries, linux_boot.E820_MAX)
    cmdline = read_string(read, params.hdr.cmd_line_ptr)
    return LinuxHandoff(esi, params, params.e820_table[:entries], cmdline, setup_data)
