"""Kernels that the firmware loads itself, in the emulated machine, with modules."""

from pathlib import Path

from fwbuild.emulator.machine import Machine
from fwbuild.emulator.state import End
from fwbuild.guest import Guest
from fwbuild.image.build import Image
from fwbuild.protocols import Protocol
from tests.support.booted import emulated


def entered(
    protocol: Protocol, guest: Guest, image: Image, kernel: bytes, *, dma: bool = True
) -> Machine:
    """The machine at the entry of a kernel that is entered by a protocol, whose judge has nothing
    to say."""
    machine = emulated(guest, image.image, kernel, dma=dma)
    assert machine.outcome.kind == End.HANDOFF, machine.outcome.console
    assert machine.state().protocol == protocol.name
    assert protocol.judge(machine.state()) == []
    return machine


def with_modules(folder: Path) -> Guest:
    """A guest whose firmware loads a kernel and two modules, in a scratch folder. The first has
    arguments; the second's name has a comma."""
    (folder / "one").write_bytes(bytes(range(256)) * 20)
    (folder / "t,wo").write_bytes(b"2" * 0x3001)
    initrd = Path(f"{folder}/one its arguments,{folder}/t,,wo")
    return Guest("pc", initrd=initrd, append="a=b c", firmware_loads=True)
