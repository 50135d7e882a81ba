"""One PCI function: its configuration space."""

from fwbuild.abi import offsets, pci

HEADER = offsets(pci.HEADER)


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
        """Do what a write of those bytes does besides; `before` is the old configuration space."""

    def reset(self) -> None:
        """Reset, as the bus does."""
        self.config[:] = self._reset

    def field(self, name: str) -> int:
        """A numeric field of the type 0 header."""
        following = min(at for at in (*HEADER.values(), pci.HEADER.sizeof()) if at > HEADER[name])
        return self.read(HEADER[name], following - HEADER[name])

    @property
    def is_bridge(self) -> bool:
        return bool(self.field("type") & pci.TYPE_MASK == pci.TYPE_BRIDGE)
