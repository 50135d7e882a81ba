"""A machine that runs again and again from its reset, without being built anew.

Blocks, stores and consoles are counted by native.py; Python is called for the other ports, for
MMIO and for exceptions alone. A run ends where the firmware jumps to RAM, that is to a kernel.
"""

import copy
import ctypes
import struct
from math import inf
from types import FunctionType
from typing import Any

from unicorn import UC_ERR_FETCH_PROT, UC_HOOK_INSN_INVALID, UC_HOOK_INTR, Uc, UcError
from unicorn import x86_const as ux

from fwbuild.abi import fw_cfg, x86
from fwbuild.abi.fw_cfg import DmaControl
from fwbuild.emulator.device import Device
from fwbuild.emulator.fw_cfg import FwCfg
from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.machine import HLT, RUNNING, Access, Machine, Outcome
from fwbuild.emulator.mmio import Mmio, MmioRead, MmioWrite, Range
from fwbuild.emulator.recording import Recording
from fwbuild.emulator.state import End, State
from tests.support.fuzz import pci
from tests.support.fuzz.memory import SPARE, LeanMemory
from tests.support.fuzz.native import GRANULE, PORT_IN, PORT_OUT, Counters, Hooks
from tests.support.fuzz.native import READ as ANSWER
from tests.support.fuzz.native import WRITE as HEAR
from tests.support.fuzz.pci import LeanEcam, LeanHierarchy

LIMIT = 20_000_000  # instructions
BYTES = 3  # of an instruction, about: run_exactly() counts
DESCRIPTOR = struct.Struct(">IIQ")  # control, length, address
DONE, FAILED = bytes(4), int(DmaControl.ERROR).to_bytes(4, "big")
SELECT, READ, WRITE, SKIP = (
    int(bit) for bit in (DmaControl.SELECT, DmaControl.READ, DmaControl.WRITE, DmaControl.SKIP)
)
Part = tuple[int, int, Device | None]  # of an access to ports: port, size, who has it
HELD_APART = frozenset({"mask", "functions", "items", "_item"})
PLAIN = (bool, int, float, str, bytes, frozenset, tuple, type(None))
CONTAINERS = (list, dict, set, bytearray)


class LeanFwCfg(FwCfg):
    """The same device, its descriptors read without a parser, its data port in machine code."""

    counters: Counters

    def _select(self, key: int) -> None:
        self._key = key & ~fw_cfg.KEY_WRITE_CHANNEL
        self._item = self.items.get(self._key, b"")  # kept, for the hook has its address alone
        counters = self.counters
        counters.item = ctypes.cast(ctypes.c_char_p(self._item), ctypes.c_void_p).value
        counters.item_left = len(self._item)

    def _take(self, count: int) -> memoryview:
        counters = self.counters
        left = counters.item_left
        self._at = len(self._item) - left
        taken = min(count, left)
        counters.item += taken
        counters.item_left = left - taken
        return memoryview(self._item)[self._at : self._at + taken]

    def _transfer(self, address: int) -> None:
        data, whole = self._bus.dma_read(address, DESCRIPTOR.size)
        if whole:
            whole = self._carry_out(*DESCRIPTOR.unpack(data))
        self._bus.dma_write(address, DONE if whole else FAILED)

    def _carry_out(self, control: int, size: int, address: int) -> bool:
        if control & SELECT:
            self._select(control >> fw_cfg.DMA_KEY_SHIFT)
        if control & READ:
            return self._read_item(address, size)
        if control & WRITE:
            return self._write_item(address, size)
        if control & SKIP:
            self._take(size)
        return True

    def _read_item(self, address: int, size: int) -> bool:
        """Of a long stretch of zeros behind the item only the first MiB is written."""
        data = bytes(self._take(size))
        rest = size - len(data)
        if rest:
            data += bytes(min(rest, SPARE))
        return not data or self._bus.dma_write(address, data)


class KeptMmio:
    """Windows that stay mapped when a run is over: to unmap one takes unicorn milliseconds."""

    def __init__(self, uc: Uc, mmio: Mmio, hooks: Hooks) -> None:
        self._uc, self._hooks = uc, hooks
        self._mmio, self._map, self._unmap = mmio, mmio.map, mmio.unmap
        self._kept: dict[int, Range] = {}
        mmio.map, mmio.unmap = self.map, self.unmap  # type: ignore[method-assign]

    def map(self, base: int, size: int, read: MmioRead, write: MmioWrite) -> None:
        kept = self._kept.get(base)
        if kept and kept.size == size:
            self._mmio._ranges[base] = Range(base, size, read, write)
            return
        for other in list(self._kept.values()):
            if other.base < base + size and base < other.base + other.size:
                self._mmio._ranges[other.base] = self._kept.pop(other.base)
                self._unmap(other.base)
        if not isinstance(getattr(read, "__self__", None), LeanEcam):
            self._map(base, size, read, write)
            return

        def on_read(_uc: Any, offset: int, width: int, _data: Any) -> int:
            return self._mmio.read(base + offset, width)

        def on_write(_uc: Any, offset: int, width: int, value: int, _data: Any) -> None:
            self._mmio.write(base + offset, width, value)

        self._hooks.map_ecam(self._uc, base, size, ANSWER(on_read), HEAR(on_write))
        self._mmio._ranges[base] = Range(base, size, read, write)

    def unmap(self, base: int) -> None:
        self._kept[base] = self._mmio._ranges.pop(base)


class Devices:
    """What the devices of a machine hold, to be put back."""

    def __init__(self, machine: Machine) -> None:
        board = machine.board
        found: list[Any] = [machine.fw_cfg, machine.exit, board.apic, *board.devices.values()]
        found += list(board.pci.everything())
        found += [pm for f in board.pci.everything() if (pm := getattr(f, "pm", None))]
        if machine.pvpanic:
            found.append(machine.pvpanic)
        unique = {id(device): device for device in found}
        self._held = [(device, _plain(device)) for device in unique.values()]
        self._ports = dict(board.devices)
        self._ranges = set(board.mmio._ranges)
        buses = list(board.pci.roots.values())
        self._functions = [(bus, dict(bus.functions)) for bus in buses]
        self._masks = [(f, f.mask) for f in board.pci.everything()]
        self._board = board

    def restore(self) -> None:
        for device, held in self._held:
            now = vars(device)
            for name, value in held.items():
                if now[name] != value:
                    now[name] = copy.copy(value) if isinstance(value, CONTAINERS) else value
        ports = self._board.devices
        if ports != self._ports:
            ports.clear()
            ports.update(self._ports)
        for bus, functions in self._functions:
            if bus.functions.keys() != functions.keys():
                bus.functions = dict(functions)
        for function, mask in self._masks:
            function.mask = mask
        for base in self._board.mmio._ranges.keys() - self._ranges:
            self._board.unmap_mmio(base)


def _plain(device: Any) -> dict[str, Any]:
    """Its state, without other objects."""
    kinds = PLAIN + CONTAINERS
    return {
        name: copy.copy(value)
        for name, value in vars(device).items()
        if isinstance(value, kinds) and name not in HELD_APART
    }


class LeanMachine(Machine):
    """A machine to be run many times. `edges` is shared by machines of the same image."""

    _memory_kind = LeanMemory
    _fw_cfg_kind = LeanFwCfg
    memory: LeanMemory
    fw_cfg: LeanFwCfg

    def __init__(
        self, image: bytes, recording: Recording, loaded: Loaded | None, edges: Any
    ) -> None:
        self._edges = edges
        self._error: BaseException | None = None
        self._exactly = False
        self._left = 0  # Counters.left, while that stops the boot CPU for the others
        self._known_parts: dict[tuple[int, int], tuple[Any, list[Part]]] = {}
        super().__init__(image, recording, loaded)
        KeptMmio(self.uc, self.board.mmio, self.hooks)
        pci.install(self.board, self.hooks)
        self.memory.freeze(loaded.memory if loaded else ())
        self._devices = Devices(self)
        self._items = dict(self.fw_cfg.items)
        self._context = self.uc.context_save()

    def _hooks(self) -> None:
        uc = self.uc
        self.hooks = Hooks(uc, self._edges)
        self.fw_cfg.counters = self.hooks.counters
        self.hooks.listen(PORT_IN(self._lean_in), PORT_OUT(self._lean_out))
        uc.hook_add(UC_HOOK_INTR, self._on_interrupt)
        uc.hook_add(UC_HOOK_INSN_INVALID, self._on_invalid)

    def _lean_in(self, _uc: Any, port: int, size: int, _data: Any) -> int:
        try:
            value, shift = 0, 0
            for at, width, device in self._parts(port, size):
                part = device.port_in(at, width) if device else (1 << 8 * width) - 1
                value |= part << shift
                shift += 8 * width
            return value
        except BaseException as error:
            return self._failed(error)

    def _lean_out(self, _uc: Any, port: int, size: int, value: int, _data: Any) -> None:
        try:
            for at, width, device in self._parts(port, size):
                if device:
                    device.port_out(at, width, value & (1 << 8 * width) - 1)
                value >>= 8 * width
        except BaseException as error:
            self._failed(error)
        if self.exit.value is not None:
            self.outcome.kind = End.EXIT
            self.uc.emu_stop()

    def _parts(self, port: int, size: int) -> list[Part]:
        """The same, remembered as long as no port changes hands."""
        devices = len(self.devices), self.devices.get(port)
        known = self._known_parts.get((port, size))
        if known and known[0] == devices:
            return known[1]
        parts = super()._parts(port, size)
        self._known_parts[port, size] = devices, parts
        return parts

    def _failed(self, error: BaseException) -> int:
        """An exception cannot pass through unicorn: it is raised when the run is over."""
        self._error = error
        self.uc.emu_stop()
        return 0

    def _log(self, access: Access, unclaimed: bool) -> None:
        pass

    def _on_startup(self, vector: int) -> None:
        """Stop where the next block starts. The message is a store to MMIO: after a stop there
        and then unicorn would start from the same store, and send it again."""
        super()._on_startup(vector)
        counters = self.hooks.counters
        self._left, counters.left = counters.left, 0

    def _run_others(self, limit: int) -> None:
        self.hooks.counters.left = self._left
        super()._run_others(limit)

    def state(self) -> State:
        self.memory.note_stores(
            granule
            for granule, _ in self.hooks.stored()
            if not self.board.mmio.find(granule * GRANULE)
        )
        return super().state()

    def restore(self) -> None:
        """Be at reset again."""
        self.memory.release()
        self.memory.restore([granule for granule, _ in self.hooks.stored()])
        self._devices.restore()
        self.uc.context_restore(self._context)
        self.hooks.counters.item_left = self.hooks.counters.config_address = 0
        hierarchy = self.board.pci
        assert isinstance(hierarchy, LeanHierarchy)
        hierarchy.forget()
        self.fw_cfg.items = dict(self._items)
        self.outcome = Outcome(End.LIMIT)
        self.awake.clear()
        self._startup = self._error = None
        for holder in (self.fw_cfg, self.board.pci):  # what a lie put in the place of a method
            for name in [n for n, v in vars(holder).items() if isinstance(v, FunctionType)]:
                delattr(holder, name)

    def run(self, limit: int = LIMIT, seconds: float = inf) -> Outcome:
        """The same, the limit counted in bytes of instructions. Nothing looks at the time."""
        self.hooks.begin(limit * BYTES)
        return super().run(limit)

    def run_exactly(self, limit: int = LIMIT) -> Outcome:
        """The same, each instruction counted; iterations of a `rep` are instructions."""
        self._exactly = True
        return self.run(limit)

    def _start(self, begin: int, limit: int) -> None:
        outcome = self.outcome
        try:
            self.uc.emu_start(begin, 0, count=limit if self._exactly else 0)
        except UcError as error:
            if outcome.kind in RUNNING:
                self._ended(outcome, error)
        else:
            self._stopped(outcome)
        if self._error:
            raise self._error

    def _ended(self, outcome: Outcome, error: UcError) -> None:
        if error.errno == UC_ERR_FETCH_PROT:
            outcome.kind = End.HANDOFF
        else:
            outcome.kind, outcome.detail = End.FAULT, str(error)

    def _registers(self) -> dict[str, int]:
        if self.outcome.kind == End.EXIT:
            return {}  # nobody looks, and they take long
        return super()._registers()

    def _stopped(self, outcome: Outcome) -> None:
        """Without an error: by a device, a halt, or too many instructions."""
        if outcome.kind not in RUNNING or self._startup is not None:
            return
        if self.hooks.counters.left < 0 or self._exactly:
            return
        at = self.linear(self.uc.reg_read(ux.UC_X86_REG_EIP)) - 1
        if self.read(at, 1) != HLT:
            outcome.kind, outcome.detail = End.FAULT, f"stopped at {at + 1:#x}"
        elif self.uc.reg_read(ux.UC_X86_REG_EFLAGS) & x86.Eflags.IF:
            outcome.kind, outcome.detail = End.WAIT, "for an interrupt: none comes"
        else:
            outcome.kind = End.HALT

    def linear(self, eip: int) -> int:
        """The linear address of an EIP: a segment has a base in real mode alone."""
        if self.real_mode:
            return int(eip + (self.uc.reg_read(ux.UC_X86_REG_CS) << 4))
        return eip

    def _run(self, begin: int, limit: int) -> Outcome:
        outcome = super()._run(begin, limit)
        outcome.console, outcome.serial = self.hooks.console, self.hooks.serial
        return outcome
