"""The emulated devices by themselves. What they should answer was read from QEMU 7.2, which
tests/qemu/test_devices.py compares them with at length."""

import pytest

from fwbuild.abi import fw_cfg, ports
from fwbuild.abi.fw_cfg import DmaControl, Key
from fwbuild.emulator.devices import DebugConsole, DebugExit, Serial
from fwbuild.emulator.fw_cfg import FwCfg, directory
from fwbuild.emulator.recording import File, Recording

FILES = [File("etc/vmgenid_addr", 0x20, 8, bytes(8)), File("opt/text", 0x21, 3, b"abc")]
POINTER, TEXT = (f.select << fw_cfg.DMA_KEY_SHIFT | DmaControl.SELECT for f in FILES)
READ, WRITE, SKIP, ERROR = (DmaControl[n] for n in ("READ", "WRITE", "SKIP", "ERROR"))


class Ram:
    """A bus with 256 bytes of RAM and nothing above."""

    def __init__(self) -> None:
        self.data = bytearray(b"\xa5" * 256)

    def dma_read(self, address: int, size: int) -> tuple[bytes, bool]:
        found = bytes(self.data[address : address + size])
        return found.ljust(size, b"\0"), len(found) == size

    def dma_write(self, address: int, data: bytes) -> bool:
        room = max(len(self.data) - address, 0)
        self.data[address : address + len(data)] = data[:room]
        return len(data) <= room


def device(dma: bool = True) -> tuple[FwCfg, Ram]:
    ram = Ram()
    recorded = Recording(qemu="", machine="pc", memory=0, smp=1, accel="tcg", files=FILES)
    return FwCfg(recorded, ram, dma), ram


def transfer(unit: FwCfg, ram: Ram, control: int, length: int, address: int) -> int:
    """One transfer by a descriptor at 0; the control word afterwards."""
    data = fw_cfg.DMA.build({"control": control, "length": length, "address": address})
    ram.data[:16] = data
    unit.port_out(fw_cfg.PORT_DMA_LOW, 4, 0)
    assert ram.data[4:16] == data[4:], "only the control word is written back"
    return int.from_bytes(ram.data[:4], "big")


# control, bytes, address -> control afterwards, the RAM from 0x20 on
TRANSFERS = {
    "an item": (TEXT | READ, 3, 0x20, 0, b"abc\xa5"),
    "zeros behind it": (TEXT | READ, 5, 0x20, 0, b"abc\0\0\xa5"),
    "no item": (0x30 << 16 | DmaControl.SELECT | READ, 2, 0x20, 0, b"\0\0\xa5"),
    "the write channel's bit": (TEXT | 0x4000 << 16 | READ, 3, 0x20, 0, b"abc\xa5"),
    "an architecture's item": (TEXT | 0x8000 << 16 | READ, 3, 0x20, 0, b"\0\0\0\xa5"),
    "to nowhere": (TEXT | READ, 1, 0x1000, ERROR, b"\xa5"),
    "nothing to nowhere": (TEXT | READ, 0, 0x1000, 0, b"\xa5"),
    "a read-only item": (TEXT | WRITE, 1, 0x20, ERROR, b"\xa5"),
    "too much": (POINTER | WRITE, 9, 0x20, ERROR, b"\xa5"),
    "from nowhere": (POINTER | WRITE, 1, 0x1000, ERROR, b"\xa5"),
}


@pytest.mark.parametrize("name", TRANSFERS)
def test_transfer(name: str) -> None:
    control, length, address, after, content = TRANSFERS[name]
    unit, ram = device()
    assert transfer(unit, ram, control, length, address) == after
    assert ram.data[0x20 : 0x20 + len(content)] == content


def test_write_pointer() -> None:
    """As ACPI's WRITE_POINTER does it: seek, then write."""
    unit, ram = device()
    ram.data[0x20:0x24] = b"1234"
    assert transfer(unit, ram, POINTER | SKIP, 2, 0) == 0
    assert transfer(unit, ram, WRITE, 4, 0x20) == 0
    assert unit.items[0x20] == b"\0\x001234\0\0"
    assert FILES[0].data == bytes(8), "the recording is not the device's to change"


def test_descriptor_nowhere() -> None:
    unit, ram = device()
    before = bytes(ram.data)
    unit.port_out(fw_cfg.PORT_DMA_LOW, 4, 0x00100000)  # 0x1000, big-endian
    assert ram.data == before
    unit.port_out(fw_cfg.PORT_DMA_LOW, 4, 0xF8000000)  # 0xf8: the first half is there
    assert ram.data == before[:0xF8] + b"\0\0\0\1" + before[0xFC:]


def test_upper_half_of_the_address() -> None:
    unit, ram = device()
    unit.port_out(fw_cfg.PORT_DMA_HIGH, 4, 0x01000000)
    unit.port_out(fw_cfg.PORT_DMA_LOW, 4, 0)
    assert ram.data == b"\xa5" * 256
    assert transfer(unit, ram, TEXT | READ, 1, 0x20) == 0, "it is 0 again"


def test_data_port() -> None:
    unit, _ = device()
    unit.port_out(fw_cfg.PORT_SELECTOR, 2, 0x21)
    found = bytes(unit.port_in(fw_cfg.PORT_DATA, 1) for _ in range(5))
    assert found == b"abc\0\0"
    unit.port_out(fw_cfg.PORT_SELECTOR, 4, 0x20)  # no selection: 16 bits are one
    unit.port_out(fw_cfg.PORT_SELECTOR, 2, Key.FILE_DIR)
    assert unit.port_in(fw_cfg.PORT_SELECTOR, 2) == 0
    found = bytes(unit.port_in(fw_cfg.PORT_SELECTOR, 1) for _ in range(4 + 2 * 64))
    assert found == directory(FILES)
    assert found[:12] == bytes.fromhex("00000002 00000008 0020 0000")


@pytest.mark.parametrize("dma", [True, False])
def test_dma_can_be_off(dma: bool) -> None:
    unit, _ = device(dma)
    assert (fw_cfg.PORT_DMA_LOW in unit.ports) == dma
    assert unit.items[Key.ID] == bytes([3 if dma else 1, 0, 0, 0])
    if dma:
        assert unit.port_in(fw_cfg.PORT_DMA_HIGH, 4).to_bytes(4, "little") == b"QEMU"
        assert unit.port_in(fw_cfg.PORT_DMA_LOW, 4).to_bytes(4, "little") == b" CFG"


def test_debug_console() -> None:
    console = DebugConsole()
    for byte in b"ok":
        console.port_out(ports.DEBUG_CONSOLE, 1, byte)
    console.port_out(ports.DEBUG_CONSOLE, 2, 0x4221)
    assert console.text == "ok!"
    assert [console.port_in(ports.DEBUG_CONSOLE, size) for size in (1, 2)] == [0xE9, 0xFFE9]


def test_debug_exit() -> None:
    unit = DebugExit()
    assert unit.port_in(ports.DEBUG_EXIT, 1) == 0
    assert unit.value is None
    unit.port_out(ports.DEBUG_EXIT, 2, 0x123)
    assert unit.value == 0x123
    assert ports.debug_exit_status(0x123) == 0x47


def test_uart_keeps_its_divisor_apart() -> None:
    uart = Serial()
    uart.port_out(0x3FB, 1, 0x83)
    uart.port_out(0x3F8, 2, 0x0001)  # 115200 baud
    assert [uart.port_in(port, 1) for port in (0x3F8, 0x3F9)] == [1, 0]
    uart.port_out(0x3FB, 1, 0x03)
    uart.port_out(0x3F8, 1, ord("A"))
    assert uart.text == "A"
    assert [uart.port_in(port, 1) for port in (0x3F8, 0x3F9, 0x3FB)] == [0, 0, 3]


def test_uart_is_ready_and_hears_itself() -> None:
    uart = Serial()
    assert uart.port_in(0x3FD, 1) == 0x60
    uart.port_out(0x3FC, 1, 0x10)
    uart.port_out(0x3F8, 1, 0x5A)
    assert [uart.port_in(port, 1) for port in (0x3FD, 0x3F8, 0x3FD)] == [0x61, 0x5A, 0x60]
    assert uart.text == ""
