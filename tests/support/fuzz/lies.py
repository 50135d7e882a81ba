"""Devices that answer as no device does: fw_cfg's DMA, and PCI functions."""

import random
from collections.abc import Callable
from typing import Any

from fwbuild.abi import fw_cfg, pci
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.pci.bridge import Bridge
from fwbuild.emulator.pci.function import Function
from tests.support.pci_functions import VENDOR

BAR_KINDS = (0, 1, 4, 8, 12)


def no_dma(machine: Machine) -> None:
    """Nothing at the ports of DMA, as before QEMU 2.4."""
    device = machine.fw_cfg
    port_in, port_out = device.port_in, device.port_out

    def read(port: int, size: int) -> int:
        return (1 << 8 * size) - 1 if port >= fw_cfg.PORT_DMA_HIGH else port_in(port, size)

    def write(port: int, size: int, value: int) -> None:
        if port < fw_cfg.PORT_DMA_HIGH:
            port_out(port, size, value)

    device.port_in, device.port_out = read, write  # type: ignore[method-assign]


def dma(machine: Machine, how: str, number: int, value: int) -> None:
    """From the transfer of that number on DMA leaves `value` in the control word, after it did
    nothing ("control"), half of the transfer ("half"), or all of it ("late"); "once" does nothing
    for one transfer."""
    device = machine.fw_cfg
    transfer, done = device._transfer, [0]

    def lie(address: int) -> None:
        done[0] += 1
        if done[0] < number or (how == "once" and done[0] > number):
            transfer(address)
            return
        if how == "late":
            transfer(address)
        elif how == "half":
            data, _ = device._bus.dma_read(address, fw_cfg.DMA.sizeof())
            descriptor = fw_cfg.DMA.parse(data)
            descriptor.length //= 2
            device._execute(descriptor)
        device._bus.dma_write(address, (value & 0xFFFFFFFF).to_bytes(4, "big"))

    device._transfer = lie  # type: ignore[method-assign]


class Liar(Function):
    """A function whose reads are made up, and whose writes are lost."""

    def __init__(self, answer: Callable[[int, int], int]) -> None:
        self._answer = answer
        self.config = bytearray(pci.CONFIG_SIZE)

    def read(self, offset: int, size: int) -> int:
        return self._answer(offset, size) & (1 << 8 * size) - 1

    def write(self, offset: int, size: int, value: int) -> None:
        pass

    def field(self, name: str) -> int:
        return 0


def answers(machine: Machine, present: int, seed: int, buses: int, functions: int) -> None:
    """Functions that the machine has not read other numbers each time, on so many buses from bus
    0 on, those whose number modulo `functions` is 0; the IDs read `present` if it is not 0."""
    numbers = random.Random(seed)
    liar = Liar(
        lambda register, size: (
            present if present and register == 0 else numbers.getrandbits(8 * size)
        )
    )
    hierarchy = machine.board.pci
    find = hierarchy.find

    def lied(number: int, devfn: int) -> Function | None:
        there = find(number, devfn)
        if there is None and number < buses and devfn % max(functions, 1) == 0:
            return liar
        return there

    hierarchy.find = lied  # type: ignore[method-assign]


def devices(machine: Machine, seed: int, count: int) -> None:
    """So many functions with headers that are nearly right, behind bridges and not."""
    if not machine.board.pci.roots[0].functions:
        return
    numbers = random.Random(seed)
    buses = list(machine.board.pci.roots.values())
    for _ in range(count % 64):
        bus = numbers.choice(buses)
        devfn = numbers.randrange(256) if numbers.random() < 0.3 else numbers.randrange(32) << 3
        if devfn in bus.functions:
            continue
        if numbers.random() < 0.3:
            bridge = Bridge(*_bridge(numbers))
            bus.functions[devfn] = bridge
            buses.append(bridge.secondary)
        else:
            bus.functions[devfn] = Function(*_endpoint(numbers))


def _header(numbers: random.Random, kind: int) -> tuple[bytearray, bytearray]:
    config, mask = bytearray(pci.CONFIG_SIZE), bytearray(pci.CONFIG_SIZE)
    config[0:4] = VENDOR.to_bytes(2, "little") + numbers.randbytes(2)
    config[0x0A:0x0C] = numbers.choice((b"\0\6", b"\0\1", b"\0\3", b"\4\6", numbers.randbytes(2)))
    config[0x0E] = kind | numbers.choice((0, 0x80))
    config[0x3D] = numbers.choice((0, 1, 2, 4, 5, 255))
    mask[0x04:0x06] = b"\xff\x07"
    mask[0x3C] = 0xFF
    return config, mask


def _bars(numbers: random.Random, config: bytearray, mask: bytearray, last: int) -> None:
    at = 0x10
    while at < last:
        low = numbers.choice(BAR_KINDS)
        bits = numbers.choice((0, 2, 4, 8, 12, 12, 16, 20, 24, 28, 30, 31, 32, 36, 40, 47, 63))
        wide = low in (4, 12) and at + 8 <= last
        size = 8 if wide else 4
        config[at] = low
        if numbers.random() < 0.7:
            writable = (1 << 8 * size) - (1 << min(bits, 8 * size))
            mask[at : at + size] = writable.to_bytes(size, "little")
        if numbers.random() < 0.1:
            mask[at : at + size] = numbers.randbytes(size)
        at += size


def _capability(numbers: random.Random, config: bytearray) -> None:
    """A list of capabilities, which may lead anywhere."""
    config[0x06] |= 0x10
    config[0x34] = at = numbers.choice((0x40, 0x80, 0xFC, 0x00, 0x3F, 0xF8))
    for _ in range(numbers.randrange(6)):
        following = numbers.choice((0, at, 0x40, 0x60, 0x80, 0xF0, numbers.randrange(256)))
        kind = numbers.choice((0x10, 0x09, 0x05, 0x01, numbers.randrange(256)))
        body = bytes([kind, following]) + numbers.randbytes(30)
        config[at : at + 32] = body[: pci.CONFIG_SIZE - at]
        at = following


def _endpoint(numbers: random.Random) -> tuple[bytes, bytes]:
    config, mask = _header(numbers, numbers.choice((0, 0, 0, 0, 2, 0x7F)))
    _bars(numbers, config, mask, 0x28)
    if numbers.random() < 0.3:
        rom = (1 << 32) - (1 << numbers.choice((11, 16, 20, 31)))
        mask[0x30:0x34] = (rom | 1).to_bytes(4, "little")
    if numbers.random() < 0.4:
        _capability(numbers, config)
    return bytes(config), bytes(mask)


def _bridge(numbers: random.Random) -> tuple[bytes, bytes]:
    config, mask = _header(numbers, 1)
    _bars(numbers, config, mask, 0x18)
    mask[0x18:0x1B] = b"\xff\xff\xff"
    config[0x1C:0x1E] = mask[0x1C:0x1E] = numbers.choice((b"\xf0\xf0", b"\x01\x01", b"\0\0"))
    mask[0x1C:0x1E] = b"\xf0\xf0"
    mask[0x20:0x24] = b"\xf0\xff\xf0\xff"
    mask[0x24:0x28] = numbers.choice((b"\xf0\xff\xf0\xff", bytes(4)))
    mask[0x28:0x30] = numbers.choice((b"\xff" * 8, bytes(8)))
    mask[0x3E] = 0x40
    if numbers.random() < 0.6:
        _capability(numbers, config)
    return bytes(config), bytes(mask)


def registers(machine: Machine, number: int, at: int, text: str, writable: str) -> None:
    """A function of the machine's own has other bytes in its registers, and other writable bits."""
    functions = list(machine.board.pci.everything())
    if not functions:
        return
    function = functions[number % len(functions)]
    if isinstance(function, Liar):
        return
    new, bits = bytes.fromhex(text), bytes.fromhex(writable)
    at %= pci.CONFIG_SIZE - max(len(new), len(bits))
    function.config[at : at + len(new)] = new
    if bits:
        mask = bytearray(function.mask)
        mask[at : at + len(bits)] = bits
        function.mask = bytes(mask)


KINDS: dict[str, Callable[..., Any]] = {
    "no dma": no_dma, "dma": dma, "answers": answers, "devices": devices, "registers": registers,
}  # fmt: skip
