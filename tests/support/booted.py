"""A guest at its kernel's entry: in the emulated machine, in a real QEMU, or in both."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fwbuild import protocols
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator import recording
from fwbuild.emulator.machine import Machine
from fwbuild.emulator.state import State
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.payloads.test_kernel import build_test_kernel
from fwbuild.qemu.entry import at_entry, state_at_entry
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.record import KERNEL_KEYS, record
from tests.support.files import put_files
from tests.support.pci_headers import headers

SIZES = (64, 512, 2048, 3072, 4096, 6144, 8192, 1 << 20)  # MiB
REGISTERS = "eax ebx ecx edx esi edi ebp esp eip cr0 cr4 cs ds es fs gs ss".split()


def emulated(
    guest: Guest,
    image: bytes,
    kernel: bytes | None = None,
    *,
    files: dict[str, bytes] | None = None,
    dma: bool = True,
    poison: int = 0xA5,
) -> Machine:
    """The emulated machine after its run, with the packaged recording, the test kernel if there
    is no other, and `files` besides those that QEMU offers."""
    found = recording.find(guest)
    loaded = protocols.load(guest, found, kernel or build_test_kernel())
    machine = Machine(image, found, loaded, dma=dma, poison=poison)
    put_files(machine, files or {})
    machine.run()
    return machine


@dataclass(frozen=True)
class Pair:
    """Both worlds at the kernel's entry. QEMU goes on being stopped there."""

    machine: Machine
    stub: GdbStub
    real: State

    def agree(self) -> None:
        """Registers and all that is handed over are the same."""
        ours = self.machine.state()
        wanted = {name: ours.registers[name] for name in REGISTERS}
        assert {name: self.real.registers[name] for name in REGISTERS} == wanted
        assert protocols.read(self.real).plain() == protocols.read(ours).plain()


@contextmanager
def booted(guest: Guest, image: Image, folder: Path, ram: int = 0) -> Iterator[Pair]:
    """Run a guest in both worlds. QEMU's loader and ours say the same of the kernel, and one
    judge has nothing to say of either state. RAM is full of `ram` bytes before."""
    bios = folder / "bios.bin"
    bios.write_bytes(image.image)
    found = record(guest)
    loaded = protocols.load(guest, found)
    assert loaded
    for key in KERNEL_KEYS:
        assert loaded.keys.get(key, bytes(4)) == found.keys.get(key, bytes(4)), Key(key).name
    machine = Machine(image.image, found, loaded, poison=ram)
    machine.run()
    if guest.family.config_ports:
        # QEMU makes ACPI tables from what the firmware has left in PCI's registers
        found = replace(found, files=record(guest, headers(machine)).files)
        machine = Machine(image.image, found, loaded, poison=ram)
        machine.run()
    assert protocols.judge(machine.state()) == []
    with at_entry(guest, bios, loaded.entry) as stub:
        real = state_at_entry(stub, found, loaded)
        assert protocols.judge(real) == []
        yield Pair(machine, stub, real)
