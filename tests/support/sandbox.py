"""Holds every store of the firmware in an emulated run against the declared layout.

A store may go to a region of fwbuild/firmware/layout.py, to what the memory map says was taken for
tables (ACPI NVS), to the modules' places, and to those that the host gave for kernel and initrd. A
store elsewhere has a source line, which Strays.problems() names. Transfers by DMA are stores of
the firmware too: theirs is the line that starts them.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import pytest
from unicorn import Uc
from unicorn import x86_const as ux

from fwbuild import protocols
from fwbuild.abi import e820, multiboot, pvh
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator.machine import Machine, Outcome
from fwbuild.emulator.memory import Memory
from fwbuild.emulator.state import End, ReadMemory
from fwbuild.explain.addresses import addresses
from fwbuild.firmware import layout
from fwbuild.firmware.options import BootProtocol
from fwbuild.image.build import Image, build_image
from fwbuild.image.identity import read_identity
from fwbuild.image.template import names
from fwbuild.protocols import MULTIBOOT, PVH

GRANULE = 0x100  # bytes: every region is so many, or a multiple
STACK = 64  # bytes that are looked through for return addresses


def _granules(start: int, end: int) -> range:
    return range(start // GRANULE, (end - 1) // GRANULE + 1)


# A pointer that was forgotten leads to address 0: vectors are declared where they are installed.
VECTORS = layout.region("ivt")
DECLARED = frozenset(
    granule
    for region in layout.REGIONS
    if region not in (layout.ROM, VECTORS)
    for granule in _granules(region.base, region.end)
)


@dataclass
class Strays:
    """The stores of one machine that no region declares, by granule: who made the first."""

    made: dict[int, tuple[int, int, tuple[int, ...]]] = field(default_factory=dict)

    def note(self, machine: Machine, address: int, size: int) -> None:
        """A store before the kernel is entered."""
        first, last = address // GRANULE, (address + size - 1) // GRANULE
        if first in DECLARED and last in DECLARED:
            return
        for granule in range(first, last + 1):
            if granule not in DECLARED and granule not in self.made:
                self.made[granule] = (
                    max(address, granule * GRANULE),
                    machine._last,
                    _callers(machine),
                )

    def problems(self, machine: Machine) -> list[str]:
        """Each stray that nothing allows, in words."""
        if not self.made:
            return []
        allowed = {g for start, end in _claimed(machine) for g in _granules(start, end)}
        wrong = {
            made[1]: made for granule, made in sorted(self.made.items()) if granule not in allowed
        }
        image = _image(machine)
        return [
            f"a store to {address:#x} by {_line(image, eip)}"
            + "".join(f", called by {_line(image, caller)}" for caller in callers)
            for address, eip, callers in wrong.values()
        ]


def _has_ram(machine: Machine) -> bool:
    """Whether there is RAM for the firmware's variables."""
    try:
        machine.read(layout.region("work").base, 4)
    except MemoryError:
        return False
    return True


def _callers(machine: Machine) -> tuple[int, ...]:
    """The words on top of the stack that look like return addresses."""
    stack = machine.uc.reg_read(ux.UC_X86_REG_ESP)
    try:
        data = machine.read(stack, STACK)
    except MemoryError:
        return ()
    words = (int.from_bytes(data[i : i + 4], "little") for i in range(0, STACK, 4))
    return tuple(w for w in words if layout.ROM.base <= w < layout.ROM.end)[:2]


def _image(machine: Machine) -> Image | None:
    """The image with its program, None for one that no packaged template builds."""
    found = read_identity(machine.image)
    return build_image(found.template) if found and found.template in names() else None


def _line(image: Image | None, address: int) -> str:
    found = next(addresses(f"{address:#x}", image), None) if image else None
    facts = found.facts if found else {}
    return f"{facts.get('line', '?')}: {facts.get('statement', hex(address))}"


def _claimed(machine: Machine) -> list[tuple[int, int]]:
    """[address, end) of what the host and the memory map allow besides the layout."""
    if not _has_ram(machine):
        return [(VECTORS.base, VECTORS.end)]  # the stack of the stop that says so

    def item(key: Key) -> int:
        return int.from_bytes(machine.fw_cfg.items.get(key, b""), "little")

    kernel, initrd = item(Key.KERNEL_ADDR), item(Key.INITRD_ADDR)
    found = [(kernel, kernel + item(Key.KERNEL_SIZE)), (initrd, initrd + item(Key.INITRD_SIZE))]
    # its list of setup_data moves to the end of all that the kernel uses
    start, span = _variable(machine, "kernel_start"), _variable(machine, "kernel_span")
    found.append((start, start + span))
    # further modules: as they are handed over, or as far as the list is made
    state = machine.state()
    if state.end == End.HANDOFF and protocols.BY_NAME[state.protocol] in (PVH, MULTIBOOT):
        areas = protocols.read(state).areas()
        found += [(a, a + size) for name, (a, size) in areas.items() if name.startswith("module ")]
    empty, texts = layout.address("pvh_area", "empty_string"), layout.region("texts")
    size = pvh.MODLIST_ENTRY.sizeof()
    for at in range(layout.address("pvh_area", "modules"), layout.region("pvh").end - size, size):
        module = pvh.MODLIST_ENTRY.parse(machine.read(at, size))
        if module.cmdline_paddr == empty or texts.base <= module.cmdline_paddr < texts.end:
            found.append((module.paddr, module.paddr + module.size))
    found += [(m.addr, m.addr + m.size) for m in _memmap(machine) if m.type == e820.Type.NVS]
    found += vectors(machine.read)
    return [(start, end) for start, end in found if start < end]


def vectors(read: ReadMemory) -> list[tuple[int, int]]:
    """[address, end) of real mode's vectors where a payload has got the BIOS calls."""
    segment = int.from_bytes(read(VECTORS.base + 2, 2), "little")
    return [(VECTORS.base, VECTORS.end)] * (segment == layout.BIOS_SEGMENT)


def _memmap(machine: Machine) -> list[Any]:
    """The memory map. A Multiboot kernel may lie over the one that its own was made from."""
    state = machine.state()
    initrd = machine.fw_cfg.items.get(Key.INITRD_ADDR, b"")
    told = int.from_bytes(initrd, "little") in (0, multiboot.INFO_ADDRESS_QEMU)
    if state.end == End.HANDOFF and state.protocol == BootProtocol.MULTIBOOT and told:
        return protocols.read(state).memmap
    area = layout.region("memmap")
    size = min(max(_variable(machine, "memmap_end") - area.base, 0), area.size)
    data = machine.read(area.base, size)
    return [
        pvh.MEMMAP_ENTRY.parse(data[at:]) for at in range(0, len(data), pvh.MEMMAP_ENTRY.sizeof())
    ]


def _variable(machine: Machine, name: str) -> int:
    return int.from_bytes(machine.read(layout.address("work", name), 4), "little")


def is_firmware(machine: Machine) -> bool:
    """Whether it runs an image of fwbuild, and has not entered a kernel."""
    return machine.outcome.kind == End.LIMIT and _is_ours(machine.image)


@cache
def _is_ours(image: bytes) -> bool:
    return read_identity(image) is not None


class Sandbox:
    """Watches every machine that is made while it is installed. Raises at the end of a run in
    which something else was written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.strays: WeakKeyDictionary[Machine, Strays] = WeakKeyDictionary()
        cpu_store, run, dma_write = Machine._on_write, Machine._run, Memory.dma_write
        machines: WeakValueDictionary[int, Machine] = WeakValueDictionary()

        def on_write(
            machine: Machine, uc: Uc, kind: int, address: int, size: int, value: int, data: Any
        ) -> None:
            first, last = address // GRANULE, (address + size - 1) // GRANULE
            if first in DECLARED and last in DECLARED:
                pass  # most do, and this is all that they cost
            elif is_firmware(machine) and not machine.board.mmio.find(address):
                self.note(machine, address, size)
            cpu_store(machine, uc, kind, address, size, value, data)

        def on_dma(memory: Memory, address: int, data: bytes) -> bool:
            machine = machines.get(id(memory))
            if machine and data and is_firmware(machine):
                self.note(machine, address, len(data))
            return dma_write(memory, address, data)

        def on_run(machine: Machine, begin: int, limit: int) -> Outcome:
            machines[id(machine.memory)] = machine
            firmware = is_firmware(machine)
            outcome = run(machine, begin, limit)
            if firmware and machine in self.strays:
                problems = self.strays.pop(machine).problems(machine)  # the next run is another
                assert not problems, "\n".join(problems)
            return outcome

        monkeypatch.setattr(Machine, "_on_write", on_write)
        monkeypatch.setattr(Machine, "_run", on_run)
        monkeypatch.setattr(Memory, "dma_write", on_dma)

    def note(self, machine: Machine, address: int, size: int) -> None:
        self.strays.setdefault(machine, Strays()).note(machine, address, size)
