"""PCI functions that no QEMU has, for the emulated machine."""

from fwbuild.abi import pci
from fwbuild.emulator.recording import PciFunction

IO, MEMORY, PREFETCH, WIDE, WIDE_PREFETCH = 1, 0, 8, 4, 12
VENDOR = 0x1234
PATH = tuple[int, ...]


def endpoint(
    path: PATH,
    bars: dict[int, tuple[int, int]],
    *,
    rom: int = 0,
    pin: int = 0,
    root: int = 0,
    multifunction: bool = False,
) -> PciFunction:
    """A device. `bars` has (low bits, size in bytes) by the BAR's number."""
    config, mask = _header(pin, pci.TYPE_MULTIFUNCTION * multifunction)
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
    multifunction: bool = False,
) -> PciFunction:
    """A bridge. `io`: it has an I/O window, else `io_base` is what the register reads; `wide`:
    its prefetchable window takes 64 bits."""
    config, mask = _header(0, pci.TYPE_BRIDGE | pci.TYPE_MULTIFUNCTION * multifunction)
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
