"""QEMU's qtest protocol: the accesses of a CPU, without one. No guest code runs.

Source: QEMU, softmmu/qtest.c. One line a command, one `OK [value]` a reply.
"""

import socket
from functools import cached_property

from fwbuild.abi import fw_cfg
from fwbuild.abi.fw_cfg import DmaControl, Feature, Key

DESCRIPTOR = 0x1000  # of this QEMU's RAM, which nobody else uses
BUFFER = 0x2000
CHUNK = 0x10000
LETTERS = {1: "b", 2: "w", 4: "l"}
MMIO_LETTERS = LETTERS | {8: "q"}
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

    def port_in(self, port: int, size: int) -> int:
        """Read an I/O port; `size` is 1, 2 or 4 bytes."""
        return int(self.command(f"in{LETTERS[size]} {port:#x}"), 16)

    def port_out(self, port: int, size: int, value: int) -> None:
        """Write an I/O port."""
        self.command(f"out{LETTERS[size]} {port:#x} {value:#x}")

    def read(self, address: int, size: int) -> int:
        """Read memory or MMIO in one access."""
        return int(self.command(f"read{MMIO_LETTERS[size]} {address:#x}"), 16)

    def write(self, address: int, size: int, value: int) -> None:
        """Write memory or MMIO in one access."""
        self.command(f"write{MMIO_LETTERS[size]} {address:#x} {value:#x}")

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
            descriptor = fw_cfg.DMA.build({"control": control, "length": length, "address": BUFFER})
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
