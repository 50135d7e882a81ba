"""The fw_cfg device as QEMU's hw/nvram/fw_cfg.c behaves."""

from collections.abc import Callable

from fwbuild.abi import fw_cfg
from fwbuild.abi.fw_cfg import DmaControl, Feature, Key
from fwbuild.emulator.recording import File, Recording

Read = Callable[[int, int], bytes]
Write = Callable[[int, bytes], None]


def directory(files: list[File]) -> bytes:
    """The item FILE_DIR that lists `files`."""
    header = fw_cfg.DIR_HEADER.build({"count": len(files)})
    entries = (
        fw_cfg.FILE.build({"size": f.size, "select": f.select, "reserved": 0, "name": f.name})
        for f in files
    )
    return bytes(header + b"".join(entries))


class FwCfg:
    """Selector, data port and DMA. `read` and `write` reach guest memory; both raise
    MemoryError where there is none, which the device reports by the error bit."""

    def __init__(self, recording: Recording, read: Read, write: Write, dma: bool = True) -> None:
        self.items: dict[int, bytes] = dict(recording.keys)
        self.items[Key.SIGNATURE] = fw_cfg.SIGNATURE_TEXT
        features = Feature.TRADITIONAL | (Feature.DMA if dma else 0)
        self.items[Key.ID] = int(features).to_bytes(4, "little")
        self.items[Key.FILE_DIR] = directory(recording.files)
        self.items |= {f.select: f.data for f in recording.files}
        self.ports = frozenset({fw_cfg.PORT_SELECTOR, fw_cfg.PORT_DATA})
        if dma:
            self.ports |= {fw_cfg.PORT_DMA_HIGH, fw_cfg.PORT_DMA_LOW}
        self._read, self._write = read, write
        self._key, self._at = 0, 0
        self._dma_high = 0

    def file(self, name: str) -> bytes:
        """The content of a file, by the directory that the guest sees; empty without one."""
        found = fw_cfg.FILES.parse(self.items[Key.FILE_DIR])
        return next((self.items[f.select] for f in found.entries if f.name == name), b"")

    def port_in(self, port: int, size: int) -> int:
        """A read of `size` bytes; the data port gives the next byte of the item."""
        if port == fw_cfg.PORT_DATA and size == 1:
            return self._take(1)[0]
        return 0

    def port_out(self, port: int, size: int, value: int) -> None:
        """A write of `size` bytes: select an item, or start a transfer."""
        if port == fw_cfg.PORT_SELECTOR and size == 2:
            self._key, self._at = value, 0
        elif port == fw_cfg.PORT_DMA_HIGH and size == 4:
            self._dma_high = int.from_bytes(value.to_bytes(4, "little"), "big")
        elif port == fw_cfg.PORT_DMA_LOW and size == 4:
            low = int.from_bytes(value.to_bytes(4, "little"), "big")
            address, self._dma_high = self._dma_high << 32 | low, 0
            self._transfer(address)

    def _take(self, count: int) -> bytes:
        """The next bytes of the item, zeros past its end."""
        part = self.items.get(self._key, b"")[self._at : self._at + count]
        self._at += count
        return part.ljust(count, b"\0")

    def _transfer(self, address: int) -> None:
        descriptor = fw_cfg.DMA.parse(self._read(address, fw_cfg.DMA.sizeof()))
        control = descriptor.control
        if control & DmaControl.SELECT:
            self._key, self._at = control >> fw_cfg.DMA_KEY_SHIFT, 0
        descriptor.control = 0
        try:
            if control & DmaControl.READ:
                self._write(descriptor.address, self._take(descriptor.length))
            elif control & DmaControl.WRITE:
                descriptor.control = int(DmaControl.ERROR)  # no item here is writable
            elif control & DmaControl.SKIP:
                self._at += descriptor.length
        except MemoryError:
            descriptor.control = int(DmaControl.ERROR)
        self._write(address, fw_cfg.DMA.build(descriptor))
