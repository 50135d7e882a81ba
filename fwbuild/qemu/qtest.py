"""QEMU's qtest protocol, as far as fw_cfg needs it: no guest code runs.

Source: QEMU, softmmu/qtest.c. One line a command, one `OK [value]` a reply.
"""

import socket
from functools import cached_property

from fwbuild.abi import fw_cfg
from fwbuild.abi.fw_cfg import DmaControl, Feature, Key

DESCRIPTOR = 0x1000  # of this QEMU's RAM, which nobody else uses
BUFFER = 0x2000
CHUNK = 0x10000
BATCH = 1000  # commands that are sent before their replies are read


class Qtest:
    """A connection to a QEMU that was started with -qtest and -S."""

    def __init__(self, connection: socket.socket) -> None:
        self._stream = connection.makefile("rw", encoding="ascii", newline="\n")

    def command(self, text: str) -> str:
        """Send a line, return the reply without its OK."""
        self._stream.write(text + "\n")
        self._stream.flush()
        return self._reply()

    def _reply(self) -> str:
        while True:
            line = self._stream.readline()
            if not line:
                raise OSError("QEMU closed the qtest connection")
            if line.startswith("OK"):
                return line[2:].strip()
            if not line.startswith("IRQ"):
                raise OSError(f"qtest: {line.strip()}")

    @cached_property
    def _has_dma(self) -> bool:
        features = int.from_bytes(self.fw_cfg_read_bytes(Key.ID, 4), "little")
        return bool(features & Feature.DMA)

    def fw_cfg_read(self, key: int, size: int) -> bytes:
        """The first `size` bytes of an item, by DMA if the device has it."""
        if not self._has_dma:
            return self.fw_cfg_read_bytes(key, size)
        data = b""
        control = int(key << fw_cfg.DMA_KEY_SHIFT | DmaControl.SELECT | DmaControl.READ)
        while len(data) < size:
            length = min(CHUNK, size - len(data))
            descriptor = fw_cfg.DMA.build(
                {"control": control, "length": length, "address": BUFFER}
            )
            self.command(f"write {DESCRIPTOR:#x} {len(descriptor)} 0x{descriptor.hex()}")
            low = int.from_bytes(DESCRIPTOR.to_bytes(4, "big"), "little")
            self.command(f"outl {fw_cfg.PORT_DMA_LOW:#x} {low:#x}")
            data += bytes.fromhex(self.command(f"read {BUFFER:#x} {length}")[2:])
            control = int(DmaControl.READ)
        return data

    def fw_cfg_read_bytes(self, key: int, size: int) -> bytes:
        """The same by the data port, a byte at a time."""
        self.command(f"outw {fw_cfg.PORT_SELECTOR:#x} {key:#x}")
        data = b""
        while len(data) < size:
            count = min(BATCH, size - len(data))
            self._stream.write(f"inb {fw_cfg.PORT_DATA:#x}\n" * count)
            self._stream.flush()
            data += bytes(int(self._reply(), 16) for _ in range(count))
        return data
