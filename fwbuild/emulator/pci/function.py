"""One PCI function: its configuration space and what it decodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fwbuild.abi import offsets, pci

HEADER = offsets(pci.HEADER)
BAR_SIZE = 4
NORMAL_BARS = 6
BRIDGE_BARS = 2


@dataclass(frozen=True)
class Bar:
    """A base address register: `register` is its offset, `size` what it decodes in bytes."""

    register: int
    kind: str  # "io", "memory" or "rom"
    address: int
    size: int
    wide: bool = False  # 64 bits, in two registers
    prefetchable: bool = False
    enabled: bool = False


class Function:
    """Configuration space as recorded: `mask` has the bits that a write changes. A write to
    anything else is dropped, as QEMU's pci_default_write_config does."""

    def __init__(self, config: bytes, mask: bytes) -> None:
        self._reset = bytes(config)
        self.config = bytearray(config)
        self.mask = bytes(mask).ljust(len(config), b"\0")

    def read(self, offset: int, size: int) -> int:
        """`size` bytes at `offset`; beyond the end all ones, as hw/pci/pci_host.c has it."""
        if offset >= len(self.config):
            return (1 << 8 * size) - 1
        return int.from_bytes(self.config[offset : offset + size], "little")

    def write(self, offset: int, size: int, value: int) -> None:
        """Change what is writable, and let the function act on it."""
        before = bytes(self.config)
        end = min(offset + size, len(before))
        for at, byte in zip(range(offset, end), value.to_bytes(size, "little"), strict=False):
            self.config[at] = before[at] & ~self.mask[at] | byte & self.mask[at]
        self.written(range(offset, end), before)

    def written(self, registers: range, before: bytes) -> None:
        """What a write of those bytes does besides; `before` is the old configuration space."""

    def reset(self) -> None:
        """What a reset of the bus does."""
        self.config[:] = self._reset

    def field(self, name: str) -> int:
        """A numeric field of the type 0 header."""
        following = min(at for at in (*HEADER.values(), pci.HEADER.sizeof()) if at > HEADER[name])
        return self.read(HEADER[name], following - HEADER[name])

    @property
    def is_bridge(self) -> bool:
        return bool(self.field("type") & pci.TYPE_MASK == pci.TYPE_BRIDGE)

    def bars(self) -> list[Bar]:
        """The base address registers that decode something, the expansion ROM's last."""
        found = []
        command = pci.Command(self.field("command"))
        count = BRIDGE_BARS if self.is_bridge else NORMAL_BARS
        at, end = HEADER["bar"], HEADER["bar"] + count * BAR_SIZE
        while at < end:
            low = self.read(at, BAR_SIZE)
            io = bool(low & pci.BAR_IO)
            wide = not io and low & pci.BAR_MEMORY_TYPE == pci.BAR_64
            flags = pci.BAR_IO_FLAGS if io else pci.BAR_MEMORY_FLAGS
            enable = pci.Command.IO if io else pci.Command.MEMORY
            width = 2 * BAR_SIZE if wide else BAR_SIZE
            if size := self._decodes(at, width, flags):
                found.append(
                    Bar(
                        at,
                        "io" if io else "memory",
                        self.read(at, width) & ~flags,
                        size,
                        wide,
                        not io and bool(low & pci.BAR_PREFETCH),
                        bool(command & enable),
                    )
                )
            at += width
        rom = self._rom_register()
        if size := self._decodes(rom, BAR_SIZE, pci.ROM_FLAGS):
            value = self.read(rom, BAR_SIZE)
            enabled = bool(value & pci.ROM_ENABLE and command & pci.Command.MEMORY)
            found.append(Bar(rom, "rom", value & ~pci.ROM_FLAGS, size, enabled=enabled))
        return found

    def _rom_register(self) -> int:
        return offsets(pci.BRIDGE)["rom"] if self.is_bridge else HEADER["rom"]

    def _decodes(self, register: int, width: int, flags: int) -> int:
        """The size in bytes that a register's writable address bits stand for, 0 for none."""
        mask = int.from_bytes(self.mask[register : register + width], "little") & ~flags
        return mask & -mask

    def capabilities(self) -> Iterator[tuple[int, int]]:
        """(ID, offset) of each capability."""
        if not self.field("status") & pci.STATUS_CAPABILITIES:
            return
        at, seen = self.field("capabilities") & ~3, set()
        while at and at not in seen:
            seen.add(at)
            yield self.read(at, 1), at
            at = self.read(at + 1, 1) & ~3
