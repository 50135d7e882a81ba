"""QEMU's qtest protocol, as far as fw_cfg needs it: no guest code runs.

Source: QEMU, softmmu/qtest.c. One line a command, one `OK [value]` a reply.
"""

import socket

from fwbuild.abi import fw_cfg
from fwbuild.abi.fw_cfg import DmaControl

DESCRIPTOR = 0x1000  # of this QEMU's RAM, which nobody else uses
BUFFER = 0x2000
CHUNK = 0x10000


class Qtest:
    """A connection to a QEMU that was started with -qtest and -S."""

    def __init__(self, connection: socket.socket) -> None:
        self._stream = connection.makefile("rw", encoding="ascii", newline="\n")

    def command(self, text: str) -> str:
        """Send a line, return the reply without its OK."""
        self._stream.write(text + "\n")
        self._stream.flush()
        while True:
            line = self._stream.readline()
            if not line:
                raise OSError("QEMU closed the qtest connection")
            if line.startswith("OK"):
                return line[2:].strip()
            if not line.startswith("IRQ"):
                raise OSError(f"qtest: {line.strip()}")

    def fw_cfg_read(self, key: int, size: int) -> bytes:
        """The first `size` bytes of an item, by DMA."""
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
        port = f"inb {fw_cfg.PORT_DATA:#x}"
        return bytes(int(self.command(port), 16) for _ in range(size))
