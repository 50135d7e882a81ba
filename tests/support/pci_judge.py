"""Judges the addresses that a firmware has given to PCI functions."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fwbuild.abi import chipset, pci
from fwbuild.abi.e820 import FOUR_GIB
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.pci.bridge import Bridge, Bus
from fwbuild.emulator.pci.function import Function
from fwbuild.sizes import GIB, align_up
from tests.support.pci_decode import Bar, bars, io_window, memory_window, prefetch_window

LINE = r"no room for PCI (..):(..)\.(.) register (..) size (\w{16})"


@dataclass(frozen=True)
class Range:
    """[base, end) of "io" or "memory", and whose it is."""

    kind: str
    base: int
    end: int
    owner: str

    def inside(self, other: "Range") -> bool:
        return self.kind == other.kind and other.base <= self.base and self.end <= other.end

    def overlaps(self, other: "Range") -> bool:
        return self.kind == other.kind and self.base < other.end and other.base < self.end

    def __str__(self) -> str:
        return f"{self.kind} {self.base:#x}-{self.end - 1:#x} of {self.owner}"


def host_windows(machine: Machine) -> list[Range]:
    """The apertures of a root bus: QEMU's PCI holes, as in hw/pci-host/i440fx.c and q35.c.
    QEMU ends the upper one after the last BAR, so here it has no end."""
    ram = machine.recording.ram()
    low = max(a + s for a, s in ram if a < FOUR_GIB)
    family = machine.recording.family
    low = max(low, family.aperture_start)
    high = max(FOUR_GIB, *(a + s for a, s in ram))
    if reserved := machine.recording.file("etc/reserved-memory-end"):
        high = max(high, int.from_bytes(reserved.data[:8], "little"))
    return [
        *(Range("io", a, b, "the host") for a, b in family.free_ports),
        Range("memory", low, chipset.DEVICE_WINDOW_END, "the host"),
        Range("memory", align_up(high, GIB), 1 << 64, "the host"),
    ]


def assigned(function: Function) -> list[Bar]:
    return [bar for bar in bars(function) if bar.address]


def unassigned(machine: Machine) -> set[tuple[int, int, int]]:
    """(bus, devfn, register) of each BAR without an address."""
    return {
        (bus.number, devfn, bar.register)
        for bus in buses(machine)
        for devfn, function in bus.functions.items()
        for bar in bars(function)
        if not bar.address
    }


def buses(machine: Machine) -> Iterator[Bus]:
    """Every bus, a bridge's before those behind it."""
    todo = list(machine.board.pci.roots.values())
    while todo:
        bus = todo.pop(0)
        yield bus
        todo += bus.children()


def windows(bridge: Bridge, owner: str) -> list[Range]:
    """The open windows of a bridge, of those that it has."""
    found = [
        ("io", 0x1C, io_window(bridge)),
        ("memory", 0x20, memory_window(bridge)),
        ("memory", 0x24, prefetch_window(bridge)),
    ]
    return [
        Range(kind, w.base, w.limit + 1, owner)
        for kind, register, w in found
        if w.open and bridge.mask[register]
    ]


def complaints(machine: Machine) -> list[str]:
    """Everything that is wrong."""
    host = host_windows(machine)
    reserved = [
        Range("memory", e.addr, e.addr + e.size, "the memory map")
        for e in machine.recording.memmap()
    ]
    roots = [r for root in machine.board.pci.roots.values() for r in _claims(root)]
    found = list(_ranges(roots, host))
    found += [f"{a} overlaps {b}" for a in roots for b in reserved if a.overlaps(b)]
    found += _numbers(machine)
    found += [
        f"port {pci.CONFIG_ADDRESS:#x} gets {a.value:#x}, which enables nothing"
        for a in machine.outcome.accesses
        if (a.direction, a.port) == ("out", pci.CONFIG_ADDRESS) and not a.value & pci.CONFIG_ENABLE
    ]
    for bus in buses(machine):
        if isinstance(bus.bridge, Bridge):
            found += _ranges(list(_claims(bus)), windows(bus.bridge, f"bus {bus.number:02x}"))
        for devfn, function in bus.functions.items():
            found += (f"{bus.number:02x}:{devfn:02x} {c}" for c in _function(bus, devfn, function))
    return found


def named(machine: Machine) -> list[tuple[int, int, int, int]]:
    """(bus, devfn, register, size) of each line about what has found no place."""
    rows = re.findall(LINE, machine.outcome.console)
    return [
        (int(bus, 16), int(d, 16) << 3 | int(f), int(register, 16), int(size, 16))
        for bus, d, f, register, size in rows
    ]


def _claims(bus: Bus) -> Iterator[Range]:
    """The ranges that a bus's functions decode, and the windows of its bridges."""
    for devfn, function in bus.functions.items():
        owner = f"{bus.number:02x}:{devfn >> 3:02x}.{devfn & 7}"
        for bar in assigned(function):
            kind = "io" if bar.kind == "io" else "memory"
            yield Range(kind, bar.address, bar.address + bar.size, f"{owner} {bar.register:#x}")
        if isinstance(function, Bridge):
            yield from windows(function, f"{owner}'s window")


def _ranges(claims: list[Range], inside: list[Range]) -> Iterator[str]:
    for claim in claims:
        if not any(claim.inside(window) for window in inside):
            yield f"{claim} is in none of {', '.join(map(str, inside))}"
    for i, a in enumerate(claims):
        yield from (f"{a} overlaps {b}" for b in claims[i + 1 :] if a.overlaps(b))


def _numbers(machine: Machine) -> Iterator[str]:
    """Each bus has a number of its own, and a bridge's range covers all behind it."""
    numbers = [bus.number for bus in buses(machine)]
    if len(set(numbers)) != len(numbers):
        yield f"bus numbers {numbers}"
    for bus in buses(machine):
        if bus.bridge:
            first, last = (bus.bridge.config[at] for at in (0x19, 0x1A))
            behind = [bus.number, *(b.number for b in _behind(bus))]
            if first != min(behind) or last < max(behind):
                yield f"bus {bus.number}: {first} to {last} for {behind}"
            taken = set(range(first, last + 1)) & set(numbers) - set(behind)
            if taken:
                yield f"bus {bus.number}: {first} to {last}, which {taken} are not behind"


def _behind(bus: Bus) -> Iterator[Bus]:
    for child in bus.children():
        yield child
        yield from _behind(child)


def _function(bus: Bus, devfn: int, function: Function) -> Iterator[str]:
    command = function.config[4]
    for bar in bars(function):
        if bar.address % bar.size:
            yield f"BAR {bar.register:#x} at {bar.address:#x} of {bar.size:#x} bytes"
        if bar.kind == "rom":
            if bar.enabled:
                yield "its ROM is enabled"
        elif bar.address and not bar.wide and bar.address + bar.size > FOUR_GIB:
            yield f"BAR {bar.register:#x} does not reach {bar.address:#x}"
    for kind, bit in (("io", pci.Command.IO), ("memory", pci.Command.MEMORY)):
        if isinstance(function, Bridge):
            continue  # decodes for what is behind it, whatever becomes of its own BARs
        alike = [bar for bar in bars(function) if bar.kind == kind]
        if alike and bool(command & bit) != all(bar.address for bar in alike):
            yield f"command {command:#x} with {alike}"
    if isinstance(function, Bridge):
        wanted = pci.Command.IO | pci.Command.MEMORY | pci.Command.MASTER
        if command != wanted & function.mask[4]:
            yield f"command {command:#x} of a bridge"
        if function.config[0x18] != bus.number:
            yield f"primary bus {function.config[0x18]}"
