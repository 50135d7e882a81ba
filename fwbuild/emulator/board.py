"""The board around the CPU: which device answers where, as its machine type has them."""

from collections.abc import Iterator

from unicorn import Uc

from fwbuild.abi import chipset, x86
from fwbuild.emulator import legacy
from fwbuild.emulator.apic import Apic
from fwbuild.emulator.device import Device, Shadow
from fwbuild.emulator.mmio import Log, Mmio, MmioRead, MmioWrite
from fwbuild.emulator.pci import chipset as pci_chipset
from fwbuild.emulator.pci.access import ConfigAddress, ConfigData, Ecam
from fwbuild.emulator.recording import Recording


def pieces(start: int, size: int) -> Iterator[tuple[int, int]]:
    """(position, size) of the naturally aligned accesses that QEMU makes of one."""
    end = start + size
    while start < end:
        largest = 1 << (end - start).bit_length() - 1
        step = min(start & -start or largest, largest)
        yield start, step
        start += step


class Board:
    """The devices of a recording's machine. `shadow` is what PAM does to a segment, `log` hears
    of each MMIO access."""

    def __init__(self, uc: Uc, recording: Recording, shadow: Shadow, log: Log) -> None:
        self.devices: dict[int, Device] = {}  # by port
        self.mmio = Mmio(uc, log)
        self.shadow = shadow
        self.apic = Apic()
        self.pci = pci_chipset.build(recording, self)
        self.map_mmio(x86.APIC_BASE, x86.APIC_SIZE, self.apic.read, self.apic.write)
        for device in legacy.devices(recording):
            self.map_ports(device)
        family = recording.family
        if family.config_ports:
            address = ConfigAddress()
            self.map_ports(address)
            self.map_ports(ConfigData(address, self.pci))
        elif recording.pci and family.ecam is not None:
            ecam = Ecam(self.pci)
            self.map_mmio(family.ecam, chipset.ECAM_SIZE, ecam.read, ecam.write)

    def map_ports(self, device: Device) -> None:
        """The device answers at its ports, except those that another one has."""
        for port in device.ports:
            self.devices.setdefault(port, device)

    def unmap_ports(self, device: Device) -> None:
        """The device stops answering at its ports."""
        for port in device.ports:
            if self.devices.get(port) is device:
                del self.devices[port]

    def map_mmio(self, base: int, size: int, read: MmioRead, write: MmioWrite) -> None:
        """A device answers at [base, base + size): whole pages where nothing else is."""
        self.mmio.map(base, size, read, write)

    def unmap_mmio(self, base: int) -> None:
        """The device at `base` stops answering."""
        self.mmio.unmap(base)
