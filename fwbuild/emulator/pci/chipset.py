"""The chipset's own functions, as far as their registers act on the machine."""

from fwbuild.abi import chipset, e820
from fwbuild.abi.chipset import Device, Pam
from fwbuild.emulator.device import Surroundings
from fwbuild.emulator.pci.access import Ecam
from fwbuild.emulator.pci.bridge import Bridge, Bus
from fwbuild.emulator.pci.function import Function
from fwbuild.emulator.pci.hierarchy import Hierarchy
from fwbuild.emulator.pci.pm import PmBlock
from fwbuild.emulator.recording import PciFunction, Recording


class HostBridge(Function):
    """The host bridges of pc and q35: PAM."""

    pam = Pam.I440FX

    def __init__(self, config: bytes, mask: bytes, board: Surroundings) -> None:
        super().__init__(config, mask)
        self.board = board

    def written(self, registers: range, before: bytes) -> None:
        for index in range(chipset.PAM_COUNT):
            old, new = before[self.pam + index], self.config[self.pam + index]
            if old != new:
                self._attributes(index, old, new)

    def _attributes(self, index: int, old: int, new: int) -> None:
        for half in (1,) if index == 0 else (0, 1):
            base = e820.OPTION_ROM + (2 * (index - 1) + half) * chipset.PAM_SEGMENT
            size = chipset.PAM_SEGMENT
            if index == 0:
                base, size = e820.SYSTEM_ROM, e820.EXTENDED - e820.SYSTEM_ROM
            if (old ^ new) >> 4 * half & chipset.PAM_WRITE:
                self.board.shadow(base, size, bool(new >> 4 * half & chipset.PAM_WRITE))


class Q35(HostBridge):
    """The memory controller hub: PAM, and where the ECAM window is."""

    pam = Pam.Q35

    def __init__(self, config: bytes, mask: bytes, board: Surroundings, ecam: Ecam) -> None:
        super().__init__(config, mask, board)
        self.ecam = ecam
        self.window: tuple[int, int] | None = None  # base and size while it is on

    def written(self, registers: range, before: bytes) -> None:
        super().written(registers, before)
        if not _touches(registers, chipset.PCIEXBAR, 8):
            return
        value = self.read(chipset.PCIEXBAR, 8)
        length = value & chipset.PCIEXBAR_LENGTH
        if length == chipset.PCIEXBAR_LENGTH:
            return  # reserved: QEMU leaves the window as it was
        size = chipset.ECAM_SIZE >> (length >> 1)
        base = value & chipset.PCIEXBAR_BASE & -size
        self._move((base, size) if value & chipset.PCIEXBAR_ENABLE else None)

    def _move(self, window: tuple[int, int] | None) -> None:
        if window == self.window:
            return
        if self.window:
            self.board.unmap_mmio(self.window[0])
        if window:
            self.board.map_mmio(*window, self.ecam.read, self.ecam.write)
        self.window = window


class Piix4Pm(Function):
    """PIIX4's power management: a write of PMREGMISC puts the PM block where PMBASE says."""

    def __init__(self, config: bytes, mask: bytes, board: Surroundings) -> None:
        super().__init__(config, mask)
        self.board = board
        self.pm = PmBlock(chipset.PIIX4_PM_SIZE)

    def written(self, registers: range, before: bytes) -> None:
        if chipset.PMREGMISC in registers:
            enabled = self.config[chipset.PMREGMISC] & chipset.PMREGMISC_PMIOSE
            base = self.read(chipset.PMBASE, 4) & chipset.PIIX4_PMBASE_MASK
            self.pm.move(self.board, base if enabled else None)


class Ich9Lpc(Function):
    """ICH9's LPC bridge: the PM block where PMBASE and ACPI_CTRL say, and the root complex's
    registers, plain memory to QEMU, where RCBA says."""

    def __init__(self, config: bytes, mask: bytes, board: Surroundings) -> None:
        super().__init__(config, mask)
        self.board = board
        self.pm = PmBlock(chipset.ICH9_PM_SIZE)
        self.rcrb = bytearray(chipset.RCBA_SIZE)
        for register in chipset.RCRB_PINS:
            self.rcrb[register : register + 2] = chipset.RCRB_PINS_RESET.to_bytes(2, "little")
        self.rcrb[chipset.RCRB_GCS] = chipset.RCRB_GCS_RESET

    def written(self, registers: range, before: bytes) -> None:
        if _touches(registers, chipset.PMBASE, 4) or _touches(registers, chipset.ACPI_CTRL, 1):
            enabled = self.config[chipset.ACPI_CTRL] & chipset.ACPI_CTRL_ENABLE
            base = self.read(chipset.PMBASE, 4) & chipset.ICH9_PMBASE_MASK
            self.pm.move(self.board, base if enabled else None)
        old = int.from_bytes(before[chipset.RCBA : chipset.RCBA + 4], "little")
        new = self.read(chipset.RCBA, 4)
        if old != new:
            if old & chipset.RCBA_ENABLE:
                self.board.unmap_mmio(old & chipset.RCBA_MASK)
            if new & chipset.RCBA_ENABLE:
                base = new & chipset.RCBA_MASK
                self.board.map_mmio(base, chipset.RCBA_SIZE, self._read_rcrb, self._write_rcrb)

    def _read_rcrb(self, offset: int, size: int) -> int:
        return int.from_bytes(self.rcrb[offset : offset + size], "little")

    def _write_rcrb(self, offset: int, size: int, value: int) -> None:
        self.rcrb[offset : offset + size] = value.to_bytes(size, "little")


KINDS: dict[int, type[HostBridge] | type[Piix4Pm] | type[Ich9Lpc]] = {
    Device.I440FX: HostBridge,
    Device.PIIX4_PM: Piix4Pm,
    Device.ICH9_LPC: Ich9Lpc,
}


def build(recording: Recording, board: Surroundings) -> Hierarchy:
    """The buses and functions that a recording lists; a bridge comes before its devices."""
    roots = {0: Bus(0)}
    behind: dict[tuple[int, tuple[int, ...]], Bus] = {}
    hierarchy = Hierarchy(roots)
    ecam = Ecam(hierarchy)
    for kept in recording.pci:
        function = _function(kept, board, ecam)
        if len(kept.path) > 1:
            bus = behind[kept.root, kept.path[:-1]]
        else:
            bus = roots.setdefault(kept.root, Bus(kept.root))
        bus.functions[kept.path[-1]] = function
        if isinstance(function, Bridge):
            behind[kept.root, kept.path] = function.secondary
    return hierarchy


def _function(kept: PciFunction, board: Surroundings, ecam: Ecam) -> Function:
    if kept.is_bridge:
        return Bridge(kept.config, kept.mask)
    plain = Function(kept.config, kept.mask)
    if plain.field("vendor") == chipset.VENDOR_INTEL and kept.root == 0 and len(kept.path) == 1:
        device = plain.field("device")
        if device == Device.Q35:
            return Q35(kept.config, kept.mask, board, ecam)
        if kind := KINDS.get(device):
            return kind(kept.config, kept.mask, board)
    return plain


def _touches(registers: range, start: int, size: int) -> bool:
    return registers.start < start + size and start < registers.stop
