"""PCI functions that no QEMU has, for the emulated machine."""

from dataclasses import dataclass

from fwbuild.abi import pci
from fwbuild.emulator.recording import PciFunction

IO, MEMORY, PREFETCH, WIDE, WIDE_PREFETCH = 1, 0, 8, 4, 12
VENDOR = 0x1234
PATH = tuple[int, ...]
EXPRESS_AT, RESERVE_AT = 0x40, 0x80  # where a bridge's capabilities are
UNSAID = (1 << 64) - 1


@dataclass(frozen=True)
class Reserve:
    """The reservation that QEMU's capability asks firmware for: bus numbers, and bytes."""

    bus: int = UNSAID
    io: int = UNSAID
    memory: int = UNSAID
    prefetch_32: int = UNSAID
    prefetch_64: int = UNSAID
    vendor: int = 0x1B36

    def capability(self) -> bytes:
        """docs/pcie_pci_bridge.txt in QEMU has its fields."""
        fields = (
            (self.bus, 4),
            (self.io, 8),
            (self.memory, 4),
            (self.prefetch_32, 4),
            (self.prefetch_64, 8),
        )
        body = b"".join((v & (1 << 8 * n) - 1).to_bytes(n, "little") for v, n in fields)
        return bytes([9, 0, 4 + len(body), 1]) + body


def endpoint(
    path: PATH,
    bars: dict[int, tuple[int, int]],
    *,
    rom: int = 0,
    pin: int = 0,
    root: int = 0,
    kind: int = 0,
    multifunction: bool = False,
) -> PciFunction:
    """A device. `bars` has (low bits, size in bytes) by the BAR's number; `kind` is the class."""
    config, mask = _header(pin, pci.TYPE_MULTIFUNCTION * multifunction)
    config[0x0B] = kind
    for index, (flags, size) in bars.items():
        width = 8 if flags & WIDE and not flags & IO else 4
        at = 0x10 + 4 * index
        config[at] = flags
        writable = (1 << 8 * width) - size
        mask[at : at + width] = writable.to_bytes(width, "little")
    if rom:
        mask[0x30:0x34] = ((1 << 32) - rom | pci.ROM_ENABLE).to_bytes(4, "little")
    return PciFunction(root, path, bytes(config), bytes(mask))


def bridge(
    path: PATH,
    *,
    root: int = 0,
    io: bool = True,
    io_base: int = 0,
    wide: bool = True,
    bar: int = 0,
    port: int | None = None,
    reserve: Reserve | None = None,
    multifunction: bool = False,
) -> PciFunction:
    """A bridge. `io`: it has an I/O window, else `io_base` is what the register reads; `wide`:
    its prefetchable window takes 64 bits; `bar`: bytes of a BAR of its own; `port`: its kind of
    express port; `reserve`: what QEMU asks for."""
    config, mask = _header(0, pci.TYPE_BRIDGE | pci.TYPE_MULTIFUNCTION * multifunction)
    config[0x0B] = 6
    if bar:
        mask[0x10:0x14] = ((1 << 32) - bar).to_bytes(4, "little")
    at = 0x34
    if port is not None:
        config[at], at = EXPRESS_AT, EXPRESS_AT + 1
        config[EXPRESS_AT : EXPRESS_AT + 4] = bytes([0x10, 0, 2 | port << 4, 1])  # with a slot
    if reserve:
        config[0:2] = reserve.vendor.to_bytes(2, "little")
        config[at] = RESERVE_AT
        capability = reserve.capability()
        config[RESERVE_AT : RESERVE_AT + len(capability)] = capability
    if config[0x34]:
        config[6] = 0x10
    mask[0x18:0x1B] = b"\xff" * 3
    config[0x1C] = io_base
    if io:
        mask[0x1C:0x1E] = b"\xf0\xf0"
    mask[0x20:0x24] = bytes.fromhex("f0fff0ff")
    if wide:
        config[0x24:0x28] = bytes.fromhex("01000100")
        mask[0x24:0x30] = bytes.fromhex("f0fff0ff") + b"\xff" * 8
    return PciFunction(root, path, bytes(config), bytes(mask))


def _header(pin: int, kind: int) -> tuple[bytearray, bytearray]:
    config, mask = bytearray(pci.CONFIG_SIZE), bytearray(pci.CONFIG_SIZE)
    config[0:4] = VENDOR.to_bytes(2, "little") + b"\1\0"
    config[0x0E], config[0x3D] = kind, pin
    mask[4], mask[5], mask[0x3C] = 7, 4, 0xFF
    return config, mask
