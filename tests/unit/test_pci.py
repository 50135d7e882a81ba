"""The PCI model by itself: registers, BARs, bridges, routing. tests/qemu/test_pci.py holds it
against QEMU; here stand what the specifications say, and what no QEMU can be asked."""

import pytest

from fwbuild.abi import chipset, pci
from fwbuild.emulator import recording
from fwbuild.emulator.board import pieces
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.pci.access import ConfigAddress, ConfigData, Ecam
from fwbuild.emulator.pci.bridge import Bridge, Bus
from fwbuild.emulator.pci.function import Function
from fwbuild.emulator.pci.hierarchy import Hierarchy
from fwbuild.machines import PC, Q35, MachineFamily
from tests.support.matrix import recorded
from tests.support.pci_decode import Bar, Window, bars, io_window, memory_window, prefetch_window

GUESTS = recorded()
ALL = 0xFFFFFFFF


def header(*registers: tuple[int, int, int], size: int = 4) -> tuple[bytes, bytes]:
    """Configuration space and mask: (offset, value, writable bits) of `size` bytes each."""
    config, mask = bytearray(256), bytearray(256)
    for offset, value, writable in registers:
        config[offset : offset + size] = value.to_bytes(size, "little")
        mask[offset : offset + size] = writable.to_bytes(size, "little")
    return bytes(config), bytes(mask)


# PCI 3.0, 6.2.5: name: (registers, what ones read back as, a value, the Bar with it)
BARS = {
    "32 I/O ports": (
        [(0x10, 1, 0xFFFFFFE0)], [0xFFFFFFE1], [0x0000C020], Bar(0x10, "io", 0xC020, 32)),
    "4 KiB": ([(0x10, 0, 0xFFFFF000)], [0xFFFFF000], [0xFEBF0000],
              Bar(0x10, "memory", 0xFEBF0000, 0x1000)),
    "16 KiB, prefetchable, 64-bit": (
        [(0x20, 0xC, 0xFFFFC000), (0x24, 0, ALL)], [0xFFFFC00C, ALL], [0x80000000, 0x12],
        Bar(0x20, "memory", 0x1280000000, 0x4000, wide=True, prefetchable=True)),
    "8 GiB": ([(0x18, 0x4, 0), (0x1C, 0, 0xFFFFFFFE)], [4, 0xFFFFFFFE], [0, 0x22],
              Bar(0x18, "memory", 0x2200000000, 0x200000000, wide=True)),
    "256 KiB of ROM": ([(0x30, 0, 0xFFFC0001)], [0xFFFC0001], [0xFEB00000],
                       Bar(0x30, "rom", 0xFEB00000, 0x40000)),
}  # fmt: skip


@pytest.mark.parametrize("name", BARS)
def test_bar(name: str) -> None:
    registers, ones, values, expected = BARS[name]
    function = Function(*header(*registers, (4, 0, 0x507)))
    offsets = [offset for offset, _, _ in registers]
    for offset, seen in zip(offsets, ones, strict=True):
        function.write(offset, 4, ALL)
        assert function.read(offset, 4) == seen
    for offset, value in zip(offsets, values, strict=True):
        function.write(offset, 4, value)
    (bar,) = bars(function)
    assert bar == expected
    function.write(4, 2, pci.Command.IO | pci.Command.MEMORY)
    (bar,) = bars(function)
    assert bar.enabled == (name != "256 KiB of ROM")
    function.write(0x30, 4, 0xFEB00001)
    assert all(bar.enabled for bar in bars(function))


@pytest.mark.parametrize(("offset", "size", "value", "expected"), [
    (0x40, 4, ALL, 0x0000FF0F), (0x40, 1, ALL & 0xFF, 0x0F), (0x41, 1, 0x5A, 0x5A00),
    (0x41, 2, 0x1234, 0x3400), (0x42, 2, 0xFFFF, 0), (0xFE, 4, ALL, 0),
])  # fmt: skip
def test_mask(offset: int, size: int, value: int, expected: int) -> None:
    """Only writable bits change, by writes of any size; the end of the space is kept."""
    function = Function(*header((0x40, 0, 0xFF0F)))
    function.write(offset, size, value)
    assert function.read(0x40, 4) == expected
    assert len(function.config) == 256
    function.reset()
    assert function.read(0x40, 4) == 0


def test_beyond_the_end() -> None:
    function = Function(*header())
    assert function.read(0x100, 4) == ALL
    assert function.read(0xFE, 4) == 0


# PCI-to-PCI Bridge 1.2, 3.2.5.6 to 3.2.5.10: registers 1c, 20, 24, 28, 2c, 30, the window
WINDOWS = {
    "memory": ("memory", {0x20: 0xFEBFFEA0}, Window(0xFEA00000, 0xFEBFFFFF)),
    "memory, closed": ("memory", {0x20: 0x0000FFF0}, Window(0xFFF00000, 0x000FFFFF)),
    "prefetchable": ("prefetch", {0x24: 0x8FF08000}, Window(0x80000000, 0x8FFFFFFF)),
    "prefetchable, 64-bit": (
        "prefetch", {0x24: 0x00010001, 0x28: 0x12, 0x2C: 0x13}, Window(0x1200000000, 0x13000FFFFF)),
    "32-bit, upper halves ignored": (
        "prefetch", {0x24: 0x8FF08000, 0x28: 1, 0x2C: 1}, Window(0x80000000, 0x8FFFFFFF)),
    "I/O": ("io", {0x1C: 0x0000D0C0}, Window(0xC000, 0xDFFF)),
    "I/O, 32-bit": ("io", {0x1C: 0x0000D1C1, 0x30: 0x00020001}, Window(0x1C000, 0x2DFFF)),
}  # fmt: skip


READ = {"memory": memory_window, "prefetch": prefetch_window, "io": io_window}


@pytest.mark.parametrize("name", WINDOWS)
def test_window(name: str) -> None:
    kind, registers, expected = WINDOWS[name]
    bridge = Bridge(*header(*((at, value, ALL) for at, value in registers.items())))
    window = READ[kind](bridge)
    assert window == expected
    assert window.open == ("closed" not in name)


def function(number: int) -> Function:
    return Function(*header((0, number, 0)))


def bridge(secondary: int, subordinate: int) -> Bridge:
    numbers = secondary << 8 | subordinate << 16
    return Bridge(*header((0x0C, 1 << 16, 0), (0x18, numbers, ALL), (0x3C, 0, ALL)))


@pytest.fixture
def hierarchy() -> Hierarchy:
    """Bus 0 with a bridge to 1-3, in it one to 2-2; bus 64 with a bridge to 65-66. Each bus has
    its number as the ID of the function 1f.7."""
    roots = {0: Bus(0), 64: Bus(64)}
    near, nested, far = bridge(1, 3), bridge(2, 2), bridge(65, 66)
    roots[0].functions = {8: near, 0xFF: function(0x100)}
    near.secondary.functions = {0: nested, 0xFF: function(0x101)}
    nested.secondary.functions = {0xFF: function(0x102)}
    roots[64].functions = {0: far, 0xFF: function(0x140)}
    far.secondary.functions = {0xFF: function(0x141)}
    return Hierarchy(roots)


def test_routing(hierarchy: Hierarchy) -> None:
    there = [n for n in range(256) if hierarchy.find(n, 0xFF)]
    assert there == [0, 1, 2, 64, 65]
    ecam, address = Ecam(hierarchy), ConfigAddress()
    data = ConfigData(address, hierarchy)
    for bus in there:
        assert ecam.read(bus << 20 | 0xFF << 12, 4) == 0x100 + bus
        address.port_out(0xCF8, 4, 1 << 31 | bus << 16 | 0xFF00)
        assert data.port_in(0xCFC, 4) == 0x100 + bus
    assert hierarchy.find(0, 0x10) is None
    assert len(list(hierarchy.everything())) == 8


# (the bridges to change, by devfn from root 0; register; value), what answers afterwards
CHANGES = {
    "range closed": (0x18, 0x00_00_00_00, [0, 64, 65]),
    "another number": (0x18, 0x00_09_07_00, [0, 7, 64, 65]),
    "nested out of range": (0x18, 0x00_01_01_00, [0, 1, 64, 65]),
    "bus in reset": (0x3C, 0x0040_0000, [0, 1, 64, 65]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_routing_follows_registers(name: str, hierarchy: Hierarchy) -> None:
    register, value, expected = CHANGES[name]
    near = hierarchy.find(0, 8)
    assert near
    near.write(register, 4, value)
    assert [n for n in range(256) if hierarchy.find(n, 0xFF)] == expected


def test_bus_reset(hierarchy: Hierarchy) -> None:
    """All behind the bridge is as at reset, the bridge itself is not."""
    near, nested = hierarchy.find(0, 8), hierarchy.find(1, 0)
    assert near and nested
    near.write(0x18, 4, 0x00_05_01_00)
    nested.write(0x18, 4, 0x00_04_04_00)
    near.write(0x3C, 4, pci.BRIDGE_CONTROL_BUS_RESET << 16)
    assert nested.read(0x18, 4) == 0x00_02_02_00
    assert near.read(0x18, 4) == 0x00_05_01_00
    nested.write(0x18, 4, 0x00_04_04_00)
    for value in (pci.BRIDGE_CONTROL_BUS_RESET << 16, 0):  # the bit stays, and falls: no more
        near.write(0x3C, 4, value)
        assert nested.read(0x18, 4) == 0x00_04_04_00


@pytest.mark.parametrize(("start", "size", "expected"), [
    (0, 4, [(0, 4)]), (0, 2, [(0, 2)]), (1, 1, [(1, 1)]), (1, 2, [(1, 1), (2, 1)]),
    (1, 4, [(1, 1), (2, 2), (4, 1)]), (2, 4, [(2, 2), (4, 2)]), (3, 2, [(3, 1), (4, 1)]),
])  # fmt: skip
def test_pieces(start: int, size: int, expected: list[tuple[int, int]]) -> None:
    assert list(pieces(start, size)) == expected


# QEMU's devices with a type 1 header; a pxb brings one of its own
BRIDGES = ("pci-bridge", "pcie-root-port", "pcie-pci-bridge", "x3130", "xio3130", "pxb,")


@pytest.mark.parametrize("name", [name for name in GUESTS if name != "microvm"])
def test_packaged_devices(name: str) -> None:
    """Firmware can find every function of the packaged guests once the buses have numbers, and each
    BAR has a size that a BAR can have."""
    found = recording.find(GUESTS[name])
    machine = Machine(bytes(0x10000), found)
    functions = list(machine.board.pci.everything())
    assert len(functions) == len(found.pci) > 0
    assert sum(f.is_bridge for f in functions) == sum(
        word.startswith(BRIDGES) for word in GUESTS[name].extra
    )
    for f in functions:
        for bar in bars(f):
            assert bar.size & bar.size - 1 == 0
            assert bar.size >= {"io": 4, "memory": 16, "rom": 2048}[bar.kind]
            assert not bar.enabled
    assert (64 << 20 in {b.size for f in functions for b in bars(f)}) == (
        any("ivshmem" in word for word in GUESTS[name].extra)
    )


# where the IRQ of each of four interrupt pins is
ROUTES = {
    PC: [chipset.Config.PIIX3_ISA + chipset.PIIX3_PIRQ],
    Q35: [chipset.Ecam.ICH9_LPC + chipset.ICH9_PIRQ_A, chipset.Ecam.ICH9_LPC + chipset.ICH9_PIRQ_E],
}


@pytest.mark.parametrize("family", ROUTES, ids=str)
def test_the_firmwares_registers_take_its_values(family: MachineFamily) -> None:
    machine = Machine(bytes(0x10000), recording.find(GUESTS[family.name]))
    index, data, mmio = machine.devices[0xCF8], machine.devices[0xCFC], machine.board.mmio
    assert chipset.PM_BASE not in machine.devices
    for address, value in family.config_writes:
        index.port_out(0xCF8, 4, address)
        data.port_out(0xCFC, 4, value)
        assert data.port_in(0xCFC, 4) == value, hex(address)
    for address, value in family.ecam_writes:
        mmio.write(address, 4, value)
        assert mmio.read(address, 4) == value, hex(address)
    assert chipset.PM_BASE + chipset.Pm.CONTROL in machine.devices
    assert bool(mmio.find(chipset.ECAM_BASE)) == (family is Q35)
    for register in ROUTES[family]:
        written = dict(family.config_writes + family.ecam_writes)[register]
        assert list(written.to_bytes(4, "little")) == [10, 10, 11, 11]


# PMBASE, the register that enables it, its bit; whether PMBASE alone moves what is enabled
PM = {
    "pc": (chipset.Config.PIIX4_PM, chipset.PMREGMISC, chipset.PMREGMISC_PMIOSE, False),
    "q35": (chipset.Config.ICH9_LPC, chipset.ACPI_CTRL, chipset.ACPI_CTRL_ENABLE, True),
}


@pytest.mark.parametrize("name", PM)
def test_pm_block_moves(name: str) -> None:
    """As QEMU's pm_io_space_update() and ich9_lpc_config_write() do; never over another device."""
    function, enable, bit, at_once = PM[name]
    machine = Machine(bytes(0x10000), recording.find(GUESTS[name]))
    devices = machine.devices

    def put(register: int, value: int) -> None:
        devices[0xCF8].port_out(0xCF8, 4, function + register)
        devices[0xCFC].port_out(0xCFC, 4, value)

    put(chipset.PMBASE, 0x601)
    put(enable, bit)
    assert 0x600 in devices and 0x700 not in devices
    put(chipset.PMBASE, 0x701)
    assert (0x600 in devices, 0x700 in devices) == (not at_once, at_once)
    put(enable, bit)
    assert 0x600 not in devices and 0x700 in devices
    pic = devices[0x20]
    put(chipset.PMBASE, 0x1)
    put(enable, bit)
    assert devices[0x20] is pic and devices[0x10] is devices[0x00]
    put(enable, 0)
    assert devices[0x20] is pic and 0x00 not in devices and 0x700 not in devices
