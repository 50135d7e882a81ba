"""The addresses that a PCI function decodes and a bridge forwards, read from its registers.

Source: PCI 3.0, 6.2.5; PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.5.
"""

from dataclasses import dataclass

from fwbuild.abi import pci
from fwbuild.emulator.pci.bridge import BRIDGE, Bridge
from fwbuild.emulator.pci.function import HEADER, Function

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


@dataclass(frozen=True)
class Window:
    """A range of addresses that is forwarded; `limit` is its last byte. Closed if below base."""

    base: int
    limit: int

    @property
    def open(self) -> bool:
        return self.base <= self.limit


def bars(function: Function) -> list[Bar]:
    """The base address registers that decode something, the expansion ROM's last."""
    found = []
    command = pci.Command(function.field("command"))
    count = BRIDGE_BARS if function.is_bridge else NORMAL_BARS
    at, end = HEADER["bar"], HEADER["bar"] + count * BAR_SIZE
    while at < end:
        low = function.read(at, BAR_SIZE)
        io = bool(low & pci.BAR_IO)
        wide = not io and low & pci.BAR_MEMORY_TYPE == pci.BAR_64
        flags = pci.BAR_IO_FLAGS if io else pci.BAR_MEMORY_FLAGS
        enable = pci.Command.IO if io else pci.Command.MEMORY
        width = 2 * BAR_SIZE if wide else BAR_SIZE
        if size := _decodes(function, at, width, flags):
            found.append(
                Bar(
                    register=at,
                    kind="io" if io else "memory",
                    address=function.read(at, width) & ~flags,
                    size=size,
                    wide=wide,
                    prefetchable=not io and bool(low & pci.BAR_PREFETCH),
                    enabled=bool(command & enable),
                )
            )
        at += width
    rom = (BRIDGE if function.is_bridge else HEADER)["rom"]
    if size := _decodes(function, rom, BAR_SIZE, pci.ROM_FLAGS):
        value = function.read(rom, BAR_SIZE)
        enabled = bool(value & pci.ROM_ENABLE and command & pci.Command.MEMORY)
        address = value & ~pci.ROM_FLAGS
        found.append(Bar(register=rom, kind="rom", address=address, size=size, enabled=enabled))
    return found


def _decodes(function: Function, register: int, width: int, flags: int) -> int:
    """The size in bytes that a register's writable address bits stand for, 0 for none."""
    mask = int.from_bytes(function.mask[register : register + width], "little") & ~flags
    return mask & -mask


def memory_window(bridge: Bridge) -> Window:
    """Memory that need not be prefetchable, below 4 GiB."""
    return _memory(bridge, "memory", 0, 0)


def prefetch_window(bridge: Bridge) -> Window:
    """Prefetchable memory; 64-bit where the bridge says so."""
    if not _wide(bridge, "prefetch_base"):
        return _memory(bridge, "prefetch", 0, 0)
    base, limit = (bridge.read(BRIDGE[f"prefetch_{end}_high"], 4) for end in ("base", "limit"))
    return _memory(bridge, "prefetch", base << 32, limit << 32)


def io_window(bridge: Bridge) -> Window:
    """I/O ports; 32-bit where the bridge says so."""
    base, limit = (
        (bridge.read(BRIDGE[f"io_{end}"], 1) & ~pci.WINDOW_FLAGS) << pci.WINDOW_IO_SHIFT
        for end in ("base", "limit")
    )
    if _wide(bridge, "io_base"):
        base |= bridge.read(BRIDGE["io_base_high"], 2) << 16
        limit |= bridge.read(BRIDGE["io_limit_high"], 2) << 16
    return Window(base, limit | pci.WINDOW_IO_ALIGN - 1)


def _memory(bridge: Bridge, name: str, base: int, limit: int) -> Window:
    low, high = (
        (bridge.read(BRIDGE[f"{name}_{end}"], 2) & ~pci.WINDOW_FLAGS) << pci.WINDOW_MEMORY_SHIFT
        for end in ("base", "limit")
    )
    return Window(base | low, limit | high | pci.WINDOW_MEMORY_ALIGN - 1)


def _wide(bridge: Bridge, name: str) -> bool:
    """Whether a window's registers have upper halves."""
    return bridge.config[BRIDGE[name]] & pci.WINDOW_FLAGS == pci.WINDOW_WIDE
