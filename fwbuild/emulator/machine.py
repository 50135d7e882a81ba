"""Runs an image from the reset vector in unicorn, with the devices that it meets."""

from dataclasses import dataclass, field
from typing import Any

from unicorn import (
    UC_ARCH_X86,
    UC_HOOK_CODE,
    UC_HOOK_INSN,
    UC_HOOK_INTR,
    UC_HOOK_MEM_WRITE,
    UC_HOOK_MEM_WRITE_PROT,
    UC_MODE_32,
    UC_PROT_ALL,
    UC_PROT_EXEC,
    UC_PROT_READ,
    UC_PROT_WRITE,
    Uc,
    UcError,
)
from unicorn import x86_const as ux

from fwbuild.abi import e820, x86
from fwbuild.emulator.board import Board, Device
from fwbuild.emulator.devices import DebugConsole, DebugExit, Serial
from fwbuild.emulator.fw_cfg import FwCfg
from fwbuild.emulator.loader import Loaded
from fwbuild.emulator.mmio import Read, Write
from fwbuild.emulator.recording import Recording

PAGE = 0x1000
READ_ONLY = UC_PROT_READ | UC_PROT_EXEC
LOW_ROM = e820.SYSTEM_ROM  # the top 64 KiB of the image again, read-only on pc and q35
CLOSED_SIZE = 0x20000  # C0000-DFFFF; E0000-EFFFF is RAM on every machine
REGISTERS = tuple(
    "eax ebx ecx edx esi edi ebp esp eip eflags cs ds es fs gs ss cr0 cr3 cr4".split()
)


@dataclass(frozen=True)
class Access:
    """One access to a device: an exit to userspace under KVM."""

    direction: str  # "in" or "out" of a port, "read" or "write" of MMIO
    port: int  # or the address of MMIO
    size: int
    value: int


@dataclass
class Outcome:
    """How a run ended: kind is "handoff", "exit", "halt", "limit" or "fault"."""

    kind: str
    registers: dict[str, int] = field(default_factory=dict)
    gdtr: tuple[int, int] = (0, 0)  # base, limit
    tr: int = 0
    exit_value: int | None = None
    detail: str = ""
    instructions: int = 0
    accesses: list[Access] = field(default_factory=list)
    unclaimed: list[Access] = field(default_factory=list)
    console: str = ""
    serial: str = ""


class Machine:
    """A machine at reset. RAM is what the recording's etc/e820 says; it starts filled with
    `poison`, since a guest that reboots leaves its contents behind."""

    def __init__(
        self,
        image: bytes,
        recording: Recording,
        loaded: Loaded | None = None,
        *,
        dma: bool = True,
        poison: int = 0xA5,
    ) -> None:
        self.uc = Uc(UC_ARCH_X86, UC_MODE_32)
        self.image = image
        self.loaded = loaded
        self.recording = recording
        self.fw_cfg = FwCfg(recording, self.read, self.write_checked, dma)
        if loaded:
            self.fw_cfg.items |= loaded.keys
        self.console, self.serial, self.exit = DebugConsole(), Serial(), DebugExit()
        self.board = Board(self.uc, recording, self._shadow, self._on_mmio)
        self.devices = self.board.devices
        for device in (self.fw_cfg, self.console, self.serial, self.exit):
            self.board.map_ports(device)
        self.outcome = Outcome("limit")
        self._last = 0  # address of the instruction before
        self.writes: set[int] = set()  # pages that the CPU or a device wrote
        self._map(recording.machine.startswith("microvm"), poison)
        self._hooks()
        self._reset()

    def read(self, address: int, size: int) -> bytes:
        """Guest physical memory."""
        try:
            return bytes(self.uc.mem_read(address, size))
        except UcError:
            raise MemoryError(f"no memory at {address:#x}") from None

    def write_checked(self, address: int, data: bytes) -> None:
        """A device's write: RAM only."""
        end = address + len(data) - 1
        rights = [r for a, b, r in self.uc.mem_regions() if a <= address and end <= b]
        if not rights or not rights[0] & UC_PROT_WRITE:
            raise MemoryError(f"no RAM at {address:#x}")
        self._note_write(address, len(data))
        self.uc.mem_write(address, data)

    def _note_write(self, address: int, size: int) -> None:
        self.writes.update(range(address // PAGE, (address + max(size, 1) - 1) // PAGE + 1))

    def _map(self, f_segment_writable: bool, poison: int) -> None:
        base = (1 << 32) - len(self.image)
        for address, size in self.recording.ram():
            if address == 0:
                self.uc.mem_map(0, LOW_ROM, UC_PROT_ALL)
                self.uc.mem_map(e820.EXTENDED, size - e820.EXTENDED, UC_PROT_ALL)
            elif address < e820.FOUR_GIB:  # 32-bit code reaches nothing above
                self.uc.mem_map(address, size, UC_PROT_ALL)
        self.uc.mem_map(LOW_ROM, 0x10000, UC_PROT_ALL if f_segment_writable else READ_ONLY)
        self.uc.mem_map(base, len(self.image), READ_ONLY)
        self.uc.mem_write(base, self.image)
        self.uc.mem_write(LOW_ROM, self.image[-0x10000:])
        self.uc.mem_write(0, bytes([poison]) * e820.VGA)
        if not f_segment_writable:  # writes are dropped until PAM opens it
            self.uc.mem_protect(e820.OPTION_ROM, CLOSED_SIZE, READ_ONLY)
        for address, data in self.loaded.memory if self.loaded else ():
            self.uc.mem_write(address, data)

    def map_mmio(self, base: int, size: int, read: Read, write: Write) -> None:
        """A device answers at [base, base + size): whole pages where nothing else is."""
        self.board.map_mmio(base, size, read, write)

    def unmap_mmio(self, base: int) -> None:
        """It does so no longer."""
        self.board.unmap_mmio(base)

    def _shadow(self, base: int, size: int, writable: bool) -> None:
        """What PAM does to a segment: RAM behind it, or writes dropped."""
        if base == LOW_ROM and writable:
            self.uc.mem_write(base, bytes(size))  # the RAM under the ROM, never written yet
        self.uc.mem_protect(base, size, UC_PROT_ALL if writable else READ_ONLY)

    def _hooks(self) -> None:
        uc = self.uc
        uc.hook_add(UC_HOOK_INSN, self._on_in, None, 1, 0, ux.UC_X86_INS_IN)
        uc.hook_add(UC_HOOK_INSN, self._on_out, None, 1, 0, ux.UC_X86_INS_OUT)
        uc.hook_add(UC_HOOK_CODE, self._on_code)
        uc.hook_add(UC_HOOK_MEM_WRITE, self._on_write)
        uc.hook_add(UC_HOOK_MEM_WRITE_PROT, lambda *_: True)  # writes to ROM are dropped
        uc.hook_add(UC_HOOK_INTR, self._on_interrupt)

    def _on_in(self, _uc: Uc, port: int, size: int, _data: Any) -> int:
        device = self.devices.get(port)
        value = device.port_in(port, size) if device else (1 << 8 * size) - 1
        self._log(Access("in", port, size, value), device)
        return value

    def _on_out(self, uc: Uc, port: int, size: int, value: int, _data: Any) -> None:
        device = self.devices.get(port)
        self._log(Access("out", port, size, value), device)
        if device:
            device.port_out(port, size, value)
        if self.exit.value is not None:
            self.outcome.kind = "exit"
            uc.emu_stop()

    def _log(self, access: Access, device: Device | None) -> None:
        self.outcome.accesses.append(access)
        if device is None:
            self.outcome.unclaimed.append(access)

    def _on_mmio(self, direction: str, address: int, size: int, value: int) -> None:
        self.outcome.accesses.append(Access(direction, address, size, value))

    def _on_write(
        self, _uc: Uc, _type: int, address: int, size: int, _value: int, _data: Any
    ) -> None:
        if not self.board.mmio.find(address):
            self._note_write(address, size)

    def _on_code(self, uc: Uc, address: int, size: int, _data: Any) -> None:
        if self.loaded and address == self.loaded.entry and self.outcome.kind == "limit":
            self.outcome.kind = "handoff"
            uc.emu_stop()
            return
        if address != self._last or not self._repeat_ended(address):
            self.outcome.instructions += 1
        self._last = address
        if size == 1 and self.read(address, 1) == b"\xf4":
            self.outcome.kind = "halt"
            uc.emu_stop()

    def _repeat_ended(self, address: int) -> bool:
        """Whether this is unicorn's last look at a `rep`, with nothing left to do: QEMU's own
        trace counts the iterations alone."""
        prefixed = self.read(address, 1) in (b"\xf2", b"\xf3")
        return prefixed and self.uc.reg_read(ux.UC_X86_REG_ECX) == 0

    def _on_interrupt(self, uc: Uc, number: int, _data: Any) -> None:
        self.outcome.kind, self.outcome.detail = "fault", f"exception {number}"
        uc.emu_stop()

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
        uc.reg_write(ux.UC_X86_REG_GDTR, (0, 0, 0xFFFF, 0))
        uc.reg_write(ux.UC_X86_REG_CR0, int(x86.CR0_RESET))
        for name in ("DS", "ES", "FS", "GS", "SS"):
            uc.reg_write(getattr(ux, f"UC_X86_REG_{name}"), 0)
        uc.reg_write(ux.UC_X86_REG_CR4, 0)
        uc.reg_write(ux.UC_X86_REG_EFLAGS, int(x86.Eflags.FIXED))
        uc.mem_write(scratch, saved)

    def run(self, limit: int = 20_000_000) -> Outcome:
        """Run to the kernel's entry, the exit device, a halt or `limit` instructions."""
        return self._run(x86.RESET_VECTOR & 0xFFFF, limit)

    def run_kernel(self, limit: int = 20_000_000) -> Outcome:
        """Go on after the handoff."""
        self.outcome = Outcome("", instructions=self.outcome.instructions)
        return self._run(self.uc.reg_read(ux.UC_X86_REG_EIP), limit)

    def _run(self, begin: int, limit: int) -> Outcome:
        outcome = self.outcome
        try:
            self.uc.emu_start(begin, 0, count=limit)
        except UcError as error:
            if outcome.kind in ("limit", ""):
                outcome.kind, outcome.detail = "fault", str(error)
        outcome.kind = outcome.kind or "limit"
        for name in REGISTERS:
            register = getattr(ux, f"UC_X86_REG_{name.upper()}")
            outcome.registers[name] = self.uc.reg_read(register)
        _, base, gdt_limit, _ = self.uc.reg_read(ux.UC_X86_REG_GDTR)
        outcome.gdtr = (base, gdt_limit)
        outcome.tr = self.uc.reg_read(ux.UC_X86_REG_TR)[0]
        outcome.exit_value = self.exit.value
        outcome.console, outcome.serial = self.console.text, self.serial.text
        return outcome
