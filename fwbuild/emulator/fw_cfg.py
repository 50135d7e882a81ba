"""The fw_cfg device as QEMU's hw/nvram/fw_cfg.c behaves."""

from typing import Any, Protocol

from fwbuild.abi import fw_cfg
from fwbuild.abi.fw_cfg import DmaControl, Feature, Key
from fwbuild.emulator.recording import File, Recording

PIECE = 1 << 20  # bytes that are copied at a time


class Bus(Protocol):
    """Guest memory as a device reaches it; the flags tell whether there was memory for all."""

    def dma_read(self, address: int, size: int) -> tuple[bytes, bool]: ...

    def dma_write(self, address: int, data: bytes) -> bool: ...


def directory(files: list[File]) -> bytes:
    """The item FILE_DIR that lists `files`."""
    header = fw_cfg.DIR_HEADER.build({"count": len(files)})
    entries = (
        fw_cfg.FILE.build({"size": f.size, "select": f.select, "reserved": 0, "name": f.name})
        for f in files
    )
    return bytes(header + b"".join(entries))


class FwCfg:
    """Selector, data port and DMA. `items` are the contents by key, with what the guest wrote
    in those of the `writable` keys."""

    def __init__(self, recording: Recording, bus: Bus, dma: bool = True) -> None:
        self.items: dict[int, bytes] = dict(recording.keys)
        self.items[Key.SIGNATURE] = fw_cfg.SIGNATURE_TEXT
        features = Feature.TRADITIONAL | (Feature.DMA if dma else 0)
        self.items[Key.ID] = int(features).to_bytes(4, "little")
        self.items[Key.FILE_DIR] = directory(recording.files)
        self.items |= {f.select: f.data for f in recording.files}
        self.writable = {f.select for f in recording.files if f.name in fw_cfg.WRITABLE_FILES}
        self.ports = frozenset({fw_cfg.PORT_SELECTOR, fw_cfg.PORT_DATA})
        if dma:
            size = len(fw_cfg.DMA_SIGNATURE)
            self.ports |= set(range(fw_cfg.PORT_DMA_HIGH, fw_cfg.PORT_DMA_HIGH + size))
        self._bus = bus
        self._key, self._at = int(Key.SIGNATURE), 0
        self._dma_high = 0

    def file(self, name: str) -> bytes:
        """The content of a file, by the directory that the guest sees; empty without one."""
        found = fw_cfg.FILES.parse(self.items[Key.FILE_DIR])
        return next((self.items[f.select] for f in found.entries if f.name == name), b"")

    def port_in(self, port: int, size: int) -> int:
        """A read of `size` bytes: both ports of the selector give the item's next byte, those
        of DMA a signature."""
        if port >= fw_cfg.PORT_DMA_HIGH:
            at = port - fw_cfg.PORT_DMA_HIGH
            return int.from_bytes(fw_cfg.DMA_SIGNATURE[at : at + size], "little")
        return int.from_bytes(self._take(1), "little") if size == 1 else 0

    def port_out(self, port: int, size: int, value: int) -> None:
        """A write of `size` bytes: select an item, or start a transfer."""
        if port == fw_cfg.PORT_SELECTOR and size == 2:
            self._select(value)
        elif port == fw_cfg.PORT_DMA_HIGH and size == 4:
            self._dma_high = int.from_bytes(value.to_bytes(4, "little"), "big")
        elif port == fw_cfg.PORT_DMA_LOW and size == 4:
            low = int.from_bytes(value.to_bytes(4, "little"), "big")
            address, self._dma_high = self._dma_high << 32 | low, 0
            self._transfer(address)

    def _select(self, key: int) -> None:
        self._key, self._at = key & ~fw_cfg.KEY_WRITE_CHANNEL, 0

    def _take(self, count: int) -> memoryview:
        """The next bytes of the item, up to its end."""
        part = memoryview(self.items.get(self._key, b""))[self._at : self._at + count]
        self._at += len(part)
        return part

    def _transfer(self, address: int) -> None:
        """Do what a descriptor says. Only its control word is written back."""
        data, whole = self._bus.dma_read(address, fw_cfg.DMA.sizeof())
        if whole:
            whole = self._execute(fw_cfg.DMA.parse(data))
        answer = DmaControl(0) if whole else DmaControl.ERROR
        self._bus.dma_write(address, int(answer).to_bytes(4, "big"))

    def _execute(self, descriptor: Any) -> bool:
        """One transfer; False sets the error bit. The item's position advances even then."""
        control, size, address = descriptor.control, descriptor.length, descriptor.address
        if control & DmaControl.SELECT:
            self._select(control >> fw_cfg.DMA_KEY_SHIFT)
        if control & DmaControl.READ:
            return self._read_item(address, size)
        if control & DmaControl.WRITE:
            return self._write_item(address, size)
        if control & DmaControl.SKIP:
            self._take(size)
        return True

    def _read_item(self, address: int, size: int) -> bool:
        """The item to memory, and zeros for what it is too short for."""
        data, whole = self._take(size), True
        for at in range(0, len(data), PIECE):
            whole &= self._bus.dma_write(address + at, bytes(data[at : at + PIECE]))
        for at in range(len(data), size if whole else 0, PIECE):
            whole &= self._bus.dma_write(address + at, bytes(min(PIECE, size - at)))
        return whole

    def _write_item(self, address: int, size: int) -> bool:
        """Memory to the item, if it may be written and is long enough."""
        if not size:
            return True
        at = self._at
        if len(self._take(size)) < size or self._key not in self.writable:
            return False
        data, whole = self._bus.dma_read(address, size)
        item = self.items[self._key]
        self.items[self._key] = item[:at] + data + item[at + size :]
        return whole
