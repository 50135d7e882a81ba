"""The host bridge of pc and q35: its configuration space by ports 0xcf8 and 0xcfc, and PAM."""

from collections.abc import Callable

from fwbuild.abi import chipset, e820
from fwbuild.abi.chipset import Pam

Shadow = Callable[[int, int, bool], None]


class HostBridge:
    """Bus 0, device 0, function 0; nothing else answers. `shadow(base, size, writable)` is
    called when PAM changes a segment."""

    ports = frozenset(range(chipset.PCI_CONFIG_ADDRESS, chipset.PCI_CONFIG_DATA + 4))

    def __init__(self, device: int, pam: Pam, shadow: Shadow) -> None:
        self.config = bytearray(256)
        self.config[0:4] = (chipset.VENDOR_INTEL | device << 16).to_bytes(4, "little")
        self._pam, self._shadow = pam, shadow
        self._address = 0

    def port_in(self, port: int, size: int) -> int:
        if port == chipset.PCI_CONFIG_ADDRESS and size == 4:
            return self._address
        at = self._offset(port)
        if at is None:
            return (1 << 8 * size) - 1
        return int.from_bytes(self.config[at : at + size], "little")

    def port_out(self, port: int, size: int, value: int) -> None:
        if port == chipset.PCI_CONFIG_ADDRESS and size == 4:
            self._address = value
            return
        at = self._offset(port)
        for i, byte in enumerate(value.to_bytes(size, "little") if at is not None else b""):
            register = (at or 0) + i
            if self._pam <= register < self._pam + chipset.PAM_COUNT:
                self.config[register] = byte
                self._attributes(register - self._pam, byte)

    def _offset(self, port: int) -> int | None:
        """The byte of configuration space that a data port reaches, if it is this device's."""
        if self._address & ~0xFF != chipset.PCI_CONFIG_ENABLE or port < chipset.PCI_CONFIG_DATA:
            return None
        return (self._address & 0xFC) + port - chipset.PCI_CONFIG_DATA

    def _attributes(self, index: int, value: int) -> None:
        if index == 0:
            size = e820.EXTENDED - e820.SYSTEM_ROM
            self._shadow(e820.SYSTEM_ROM, size, bool(value >> 4 & chipset.PAM_WRITE))
            return
        for half in (0, 1):
            base = e820.OPTION_ROM + (2 * (index - 1) + half) * chipset.PAM_SEGMENT
            self._shadow(base, chipset.PAM_SEGMENT, bool(value >> 4 * half & chipset.PAM_WRITE))


def bridge_of(machine: str, shadow: Shadow) -> HostBridge | None:
    """The bridge of a machine type; microvm has none."""
    if machine.startswith("microvm"):
        return None
    if "q35" in machine:
        return HostBridge(chipset.DEVICE_Q35, Pam.Q35, shadow)
    return HostBridge(chipset.DEVICE_I440FX, Pam.I440FX, shadow)
