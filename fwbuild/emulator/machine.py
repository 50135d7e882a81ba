"""Runs an image from the reset vector in unicorn, with the devices that it meets."""

import time
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

from unicorn import (
    UC_HOOK_CODE,
    UC_HOOK_INSN,
    UC_HOOK_INSN_INVALID,
    UC_HOOK_INTR,
    UC_HOOK_MEM_READ,
    UC_HOOK_MEM_WRITE,
    Uc,
    UcError,
)
from unicorn import x86_const as ux

from fwbuild.abi import fw_cfg, x86
from fwbuild.abi.x86 import PAGE
from fwbuild.emulator.board import Board, pieces
from fwbuild.emulator.device import Device
from fwbuild.emulator.devices import DebugConsole, DebugExit, Pvpanic, Serial
from fwbuild.emulator.engine import engine
from fwbuild.emulator.fw_cfg import FwCfg
from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.memory import Memory
from fwbuild.emulator.mmio import MmioRead, MmioWrite
from fwbuild.emulator.recording import Recording
from fwbuild.emulator.state import End, State
from fwbuild.firmware import file_names
from fwbuild.firmware.options import BootProtocol

HLT = b"\xf4"
REPEATS = (b"\xf2", b"\xf3")
RUNNING = (End.LIMIT, End.RUNNING)  # not settled
SEGMENT = 0x10000  # bytes: the limit of real mode
LOOK = 1 << 16  # instructions, or iterations of one, between two looks at the clock
GENERAL = tuple("eax ebx ecx edx esi edi ebp esp".split())
SEGMENTS = ("DS", "ES", "FS", "GS", "SS")
REGISTERS = (*GENERAL, *"eip eflags cs ds es fs gs ss cr0 cr3 cr4".split())


class Access(NamedTuple):
    """One access to a device: an exit to userspace under KVM."""

    direction: str  # "in" or "out" of a port, "read" or "write" of memory
    port: int  # or the address in memory
    size: int
    value: int


@dataclass
class Outcome:
    """How a run ended. `unclaimed` are the accesses to no device. A `rep` is one of the
    `instructions`; its iterations but the first are `repeats`."""

    kind: End
    registers: dict[str, int] = field(default_factory=dict)
    gdtr: tuple[int, int] = (0, 0)  # base, limit
    tr: int = 0
    exit_value: int | None = None
    detail: str = ""
    instructions: int = 0
    repeats: int = 0
    accesses: list[Access] = field(default_factory=list)
    unclaimed: list[Access] = field(default_factory=list)
    console: str = ""
    serial: str = ""


class Machine:
    """A machine at reset. RAM is what the recording's etc/e820 says; it starts filled with
    `poison`, since a guest that reboots leaves its contents behind."""

    _memory_kind: type[Memory] = Memory
    _fw_cfg_kind: type[FwCfg] = FwCfg

    def __init__(
        self,
        image: bytes,
        recording: Recording,
        loaded: Loaded | None = None,
        *,
        dma: bool = True,
        poison: int = 0xA5,
    ) -> None:
        self.uc = engine()
        self.image = image
        self.loaded = loaded
        if loaded and loaded.files:
            recording = recording.with_files(loaded.files)
        self.recording = recording
        self.memory = self._memory_kind(self.uc, recording, image, poison, self._on_nothing)
        self.fw_cfg = self._fw_cfg_kind(recording, self.memory, dma)
        if loaded:
            self.fw_cfg.items |= loaded.keys
        self.console, self.serial, self.exit = DebugConsole(), Serial(), DebugExit()
        self.board = Board(self.uc, recording, self.memory.shadow, self._on_mmio)
        self.devices = self.board.devices
        for device in (self.fw_cfg, self.console, self.serial, self.exit):
            self.board.map_ports(device)
        self.pvpanic: Pvpanic | None = None
        if port := recording.file(file_names.PVPANIC_PORT):
            self.pvpanic = Pvpanic(int.from_bytes(port.data, "little"))
            self.board.map_ports(self.pvpanic)
        self.outcome = Outcome(End.LIMIT)
        self._last = 0  # address of the instruction before
        self._left = 0  # iterations that it still has, if it is a `rep`
        self._seconds, self._deadline = inf, inf  # of this process's CPU time
        self._entry = loaded.entry if loaded else None
        self.writes = self.memory.writes
        self._startup: int | None = None  # the vector that other CPUs are to start at
        self.awake: list[dict[str, int]] = []  # the registers at which each of them halted
        self.board.apic.on_startup = self._on_startup
        for placed in loaded.memory + loaded.mapped + loaded.laid if loaded else ():
            placed.put(self.read, self.uc.mem_write)
        self._reset()
        self._hooks()

    def read(self, address: int, size: int) -> bytes:
        """Guest physical memory."""
        return self.memory.read(address, size)

    def state(self) -> State:
        """The state that the last run ended in, for a judge; PVH is expected of no kernel."""
        outcome = self.outcome
        return State(
            protocol=self.loaded.protocol if self.loaded else BootProtocol.PVH,
            end=outcome.kind,
            detail=outcome.detail,
            registers=outcome.registers,
            gdtr=outcome.gdtr,
            tr=outcome.tr,
            read=self.read,
            host=self.recording,
            items=self.fw_cfg.items,
            file=self.fw_cfg.file,
            segments=self.loaded.segments if self.loaded else (),
            laid=self.loaded.laid if self.loaded else (),
            told=fw_cfg.PORT_DMA_LOW in self.fw_cfg.ports,
            writes=frozenset(self.writes),
        )

    def map_mmio(self, base: int, size: int, read: MmioRead, write: MmioWrite) -> None:
        """A device answers at [base, base + size): whole pages where nothing else is."""
        self.board.map_mmio(base, size, read, write)

    def unmap_mmio(self, base: int) -> None:
        """The device at `base` stops answering."""
        self.board.unmap_mmio(base)

    def _hooks(self) -> None:
        uc = self.uc
        uc.hook_add(UC_HOOK_INSN, self._on_in, None, 1, 0, ux.UC_X86_INS_IN)
        uc.hook_add(UC_HOOK_INSN, self._on_out, None, 1, 0, ux.UC_X86_INS_OUT)
        uc.hook_add(UC_HOOK_CODE, self._on_code)
        uc.hook_add(UC_HOOK_MEM_WRITE, self._on_write)
        uc.hook_add(UC_HOOK_INTR, self._on_interrupt)
        uc.hook_add(UC_HOOK_INSN_INVALID, self._on_invalid)
        self._real_mode = uc.hook_add(UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, self._on_real_mode)

    def _on_in(self, _uc: Uc, port: int, size: int, _data: Any) -> int:
        value, shift, unclaimed = 0, 0, False
        for at, width, device in self._parts(port, size):
            part = device.port_in(at, width) if device else (1 << 8 * width) - 1
            value |= part << shift
            shift += 8 * width
            unclaimed |= device is None
        self._log(Access("in", port, size, value), unclaimed)
        return value

    def _on_out(self, uc: Uc, port: int, size: int, value: int, _data: Any) -> None:
        parts = self._parts(port, size)
        self._log(Access("out", port, size, value), any(d is None for _, _, d in parts))
        for at, width, device in parts:
            if device:
                device.port_out(at, width, value & (1 << 8 * width) - 1)
            value >>= 8 * width
        if self.exit.value is not None:
            self.outcome.kind = End.EXIT
            uc.emu_stop()

    def _parts(self, port: int, size: int) -> list[tuple[int, int, Device | None]]:
        """(port, size, device) of what QEMU makes of an access: a device's part is as wide as
        its first port's alignment lets it be, even past the device's last port (softmmu/physmem.c
        memory_access_size)."""
        if size == 1:  # most are, and there are many
            return [(port, 1, self.devices.get(port))]
        parts = []
        while size:
            device = self.devices.get(port)
            offset = port
            if device:
                offset = next(n for n in range(port) if self.devices.get(port - n - 1) != device)
            _, width = next(pieces(offset, size))
            parts.append((port, width, device))
            port, size = port + width, size - width
        return parts

    def _log(self, access: Access, unclaimed: bool) -> None:
        self.outcome.accesses.append(access)
        if unclaimed:
            self.outcome.unclaimed.append(access)

    def _on_mmio(self, direction: str, address: int, size: int, value: int) -> None:
        self._log(Access(direction, address, size, value), False)

    def _on_write(
        self, _uc: Uc, _type: int, address: int, size: int, _value: int, _data: Any
    ) -> None:
        if not self.memory.is_noted(address, size) and not self.board.mmio.find(address):
            self.memory.note_write(address, size)

    def _on_nothing(self, direction: str, address: int, size: int, value: int) -> None:
        self._log(Access(direction, address, size, value), True)

    def _on_real_mode(
        self, uc: Uc, _kind: int, address: int, size: int, _value: int, _data: Any
    ) -> None:
        """Unicorn knows no segment limits. Until protected mode is entered a segment has 64 KiB
        and, but for CS after reset, the base that its selector tells. An access to what no
        segment reaches is past the limit of the one it uses."""
        if uc.reg_read(ux.UC_X86_REG_CR0) & x86.Cr0.PE:
            uc.hook_del(self._real_mode)  # from now on a limit may be anything
            return
        bases = [uc.reg_read(getattr(ux, f"UC_X86_REG_{name}")) << 4 for name in SEGMENTS]
        bases.append(self._last - uc.reg_read(ux.UC_X86_REG_EIP))
        if not any(base <= address and address + size <= base + SEGMENT for base in bases):
            self._fault(uc, f"an access past a segment's limit: {address:#x}")

    def _on_code(self, uc: Uc, address: int, size: int, _data: Any) -> None:
        outcome = self.outcome
        if self._startup is not None or outcome.kind not in RUNNING:
            uc.emu_stop()  # a stop in a memory hook comes late
            return
        if address == self._entry and outcome.kind == End.LIMIT:
            outcome.kind = End.HANDOFF
            uc.emu_stop()
            return
        if address != self._last:
            outcome.instructions += 1
            self._last, self._left = address, self._repeats_of(address)
            done = outcome.instructions
        else:
            done = outcome.repeats
            if self._left != 1:
                outcome.repeats = done = done + 1
                self._left -= 1
        if not done % LOOK and self._is_late():
            uc.emu_stop()
            return
        if self.memory.holes:
            self.memory.release()
        if size == 1 and self.read(address, 1) == HLT:
            outcome.kind = End.HALT
            if uc.reg_read(ux.UC_X86_REG_EFLAGS) & x86.Eflags.IF:
                outcome.kind, outcome.detail = End.WAIT, "for an interrupt: none comes"
            uc.emu_stop()

    def _is_late(self) -> bool:
        """Whether the time is over. The run has no other end then than its limit."""
        late = time.process_time() > self._deadline
        if late:
            self.outcome.detail = f"after {self._seconds:g} s of CPU time"
        return late

    def _repeats_of(self, address: int) -> int:
        """The iterations of a `rep`. Unicorn looks at it once more when nothing is left to do."""
        prefixed = self.read(address, 1) in REPEATS
        return int(self.uc.reg_read(ux.UC_X86_REG_ECX)) if prefixed else 0

    def _on_interrupt(self, uc: Uc, number: int, _data: Any) -> None:
        if self.real_mode:
            self._through_vector(number)
        elif not self._through_gate(number):
            end = End.FAULT if self._has_gate(x86.DOUBLE_FAULT) else End.RESET
            self._fault(uc, f"exception {number}", end)

    def _on_invalid(self, _uc: Uc, _data: Any) -> bool:
        """An instruction that does not exist: True where there is a handler for it."""
        return not self.real_mode and self._through_gate(x86.UNDEFINED_INSTRUCTION)

    def _fault(self, uc: Uc, detail: str, end: End = End.FAULT) -> None:
        self.outcome.kind, self.outcome.detail = end, detail
        uc.emu_stop()

    @property
    def real_mode(self) -> bool:
        return not self.uc.reg_read(ux.UC_X86_REG_CR0) & x86.Cr0.PE

    def _through_vector(self, number: int) -> None:
        """Do as `int` does in real mode; unicorn leaves that to its user."""
        uc = self.uc
        flags, sp = uc.reg_read(ux.UC_X86_REG_EFLAGS), uc.reg_read(ux.UC_X86_REG_SP)
        frame = (uc.reg_read(ux.UC_X86_REG_IP), uc.reg_read(ux.UC_X86_REG_CS), flags & 0xFFFF)
        sp = (sp - 6) & 0xFFFF
        stack = (uc.reg_read(ux.UC_X86_REG_SS) << 4) + sp
        uc.mem_write(stack, b"".join(value.to_bytes(2, "little") for value in frame))
        vector = self.read(4 * number, 4)
        uc.reg_write(ux.UC_X86_REG_SP, sp)
        uc.reg_write(ux.UC_X86_REG_EFLAGS, flags & ~(x86.Eflags.IF | x86.Eflags.TF))
        uc.reg_write(ux.UC_X86_REG_CS, int.from_bytes(vector[2:], "little"))
        uc.reg_write(ux.UC_X86_REG_IP, int.from_bytes(vector[:2], "little"))

    def _has_gate(self, number: int) -> bool:
        """Whether the table has room for a gate: where an exception's and that of the double
        fault are missing, the CPU shuts down, and the machine resets."""
        limit = self.uc.reg_read(ux.UC_X86_REG_IDTR)[2]
        return bool((number + 1) * x86.DESCRIPTOR.sizeof() - 1 <= limit)

    def _through_gate(self, number: int) -> bool:
        """Do as an exception does in protected mode; unicorn leaves that to its user.
        Returns whether there is a 32-bit interrupt gate for it that stays in its code segment. The
        error code is 0."""
        uc = self.uc
        _, base, _, _ = uc.reg_read(ux.UC_X86_REG_IDTR)
        size = x86.DESCRIPTOR.sizeof()
        if not self._has_gate(number):
            return False
        gate = self.read(base + number * size, size)
        cs = uc.reg_read(ux.UC_X86_REG_CS)
        if gate[5] != x86.INTERRUPT_GATE or int.from_bytes(gate[2:4], "little") != cs:
            return False
        frame = [uc.reg_read(ux.UC_X86_REG_EIP), cs, uc.reg_read(ux.UC_X86_REG_EFLAGS)]
        if number in x86.EXCEPTIONS_WITH_ERROR_CODE:
            frame.insert(0, 0)
        esp = uc.reg_read(ux.UC_X86_REG_ESP) - 4 * len(frame)
        self.uc.mem_write(esp, b"".join(value.to_bytes(4, "little") for value in frame))
        uc.reg_write(ux.UC_X86_REG_ESP, esp)
        flags = uc.reg_read(ux.UC_X86_REG_EFLAGS) & ~(x86.Eflags.IF | x86.Eflags.TF)
        uc.reg_write(ux.UC_X86_REG_EFLAGS, flags)
        uc.reg_write(ux.UC_X86_REG_EIP, int.from_bytes(gate[:2] + gate[6:], "little"))
        return True

    def _reset(self) -> None:
        """The state of Intel SDM volume 3A, table 10-1: real mode, CS base FFFF0000. The
        hidden base is loaded through a descriptor in scratch RAM, which is then put back."""
        uc = self.uc
        scratch, saved = PAGE, self.read(PAGE, 8)
        descriptor = x86.descriptor(x86.RESET_CS_BASE, 0xFFFF, x86.Access.CODE, 0)
        uc.mem_write(scratch, descriptor)
        uc.reg_write(
            ux.UC_X86_REG_GDTR,
            (0, (scratch - x86.RESET_CS_SELECTOR) & 0xFFFFFFFF, 0xFFFF, 0),
        )
        uc.reg_write(ux.UC_X86_REG_CS, x86.RESET_CS_SELECTOR)
        for table in (ux.UC_X86_REG_GDTR, ux.UC_X86_REG_IDTR):
            uc.reg_write(table, (0, 0, 0xFFFF, 0))
        for name in GENERAL:
            uc.reg_write(getattr(ux, f"UC_X86_REG_{name.upper()}"), 0)
        uc.reg_write(ux.UC_X86_REG_EDX, x86.RESET_EDX)
        uc.reg_write(ux.UC_X86_REG_CR0, int(x86.CR0_RESET))
        for name in SEGMENTS:
            uc.reg_write(getattr(ux, f"UC_X86_REG_{name}"), 0)
        uc.reg_write(ux.UC_X86_REG_CR4, 0)
        uc.reg_write(ux.UC_X86_REG_EFLAGS, int(x86.Eflags.FIXED))
        uc.mem_write(scratch, saved)

    def run(self, limit: int = 20_000_000, seconds: float = inf) -> Outcome:
        """Run to the kernel's entry, the exit device or a halt, for `limit` instructions and
        `seconds` of CPU time at most."""
        self._seconds, self._deadline = seconds, time.process_time() + seconds
        return self._run(x86.RESET_VECTOR & 0xFFFF, limit)

    def _start(self, begin: int, limit: int) -> None:
        try:
            self.uc.emu_start(begin, 0, count=limit)
        except UcError as error:
            if self.outcome.kind in RUNNING:
                self.outcome.kind, self.outcome.detail = End.FAULT, str(error)
        self.memory.release()

    def _on_startup(self, vector: int) -> None:
        self._startup = vector  # seen before the next instruction

    def _run_others(self, limit: int) -> None:
        """Let each other CPU run to its halt, one after the other, on the one CPU that there is.
        What they do is not counted."""
        vector, self._startup = self._startup or 0, None
        boot, outcome = self.uc.context_save(), self.outcome
        for _ in range(1, self.recording.smp):
            self.outcome = Outcome(End.LIMIT)
            self._reset()
            self.uc.reg_write(ux.UC_X86_REG_CS, vector << 8)
            self._start(0, limit)
            if self.outcome.kind != End.HALT:
                outcome.kind = End.FAULT
                outcome.detail = f"another CPU: {self.outcome.kind} {self.outcome.detail}".strip()
            self.awake.append(self._registers())
        self.uc.context_restore(boot)
        self.outcome = outcome

    def _registers(self) -> dict[str, int]:
        found = {
            name: self.uc.reg_read(getattr(ux, f"UC_X86_REG_{name.upper()}")) for name in REGISTERS
        }
        return found | {"efer": self.uc.msr_read(x86.Msr.EFER)}

    def run_kernel(self, limit: int = 20_000_000) -> Outcome:
        """Go on after the handoff."""
        self.outcome = Outcome(End.RUNNING, instructions=self.outcome.instructions)
        return self._run(self.uc.reg_read(ux.UC_X86_REG_EIP), limit)

    def _run(self, begin: int, limit: int) -> Outcome:
        outcome = self.outcome
        self._start(begin, limit)
        while self._startup is not None and outcome.kind in RUNNING:
            self._run_others(limit)
            self._start(self.uc.reg_read(ux.UC_X86_REG_EIP), limit)
        outcome.kind = outcome.kind or End.LIMIT
        outcome.registers = self._registers()
        _, base, gdt_limit, _ = self.uc.reg_read(ux.UC_X86_REG_GDTR)
        outcome.gdtr = (base, gdt_limit)
        outcome.tr = self.uc.reg_read(ux.UC_X86_REG_TR)[0]
        outcome.exit_value = self.exit.value
        outcome.console, outcome.serial = self.console.text, self.serial.text
        return outcome
