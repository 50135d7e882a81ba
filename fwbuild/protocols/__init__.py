"""The boot protocols, a module each: how a kernel's file is known and loaded, the state that the
kernel is entered in, and its judge.
"""

from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.recording import Recording
from fwbuild.emulator.state import State
from fwbuild.files import read_file
from fwbuild.firmware.options import BootProtocol
from fwbuild.guest import Guest
from fwbuild.kernel.multiboot2 import find_header2
from fwbuild.protocols.departure import Departure
from fwbuild.protocols.kernel_file import load_file
from fwbuild.protocols.linux import LINUX
from fwbuild.protocols.linux16 import LINUX16
from fwbuild.protocols.linux64 import LINUX64
from fwbuild.protocols.multiboot import MULTIBOOT
from fwbuild.protocols.multiboot2 import MULTIBOOT2
from fwbuild.protocols.preloaded import PRELOADED, load_baked
from fwbuild.protocols.protocol import Handoff, Protocol, name_of
from fwbuild.protocols.pvh import PVH

# In the order in which QEMU looks at a file. Source: QEMU, hw/i386/x86.c x86_load_linux().
PROTOCOLS: tuple[Protocol, ...] = (LINUX, LINUX16, MULTIBOOT, PVH)
# Besides those, what QEMU takes no file for: the firmware reads two, `fwbuild bake` makes the
# other's guests.
BY_NAME = {protocol.name: protocol for protocol in (*PROTOCOLS, MULTIBOOT2, LINUX64, PRELOADED)}


def identify(data: bytes) -> Protocol | None:
    """The protocol that QEMU takes a kernel's file for, None for no kernel."""
    return next((protocol for protocol in PROTOCOLS if protocol.recognises(data)), None)


def describing(data: bytes) -> Protocol | None:
    """The protocol that reports on a kernel's file: the one that QEMU takes it for, else one of
    which only the firmware's own loader knows. None for no kernel."""
    if found := identify(data):
        return found
    return MULTIBOOT2 if find_header2(data) is not None else None


def expect(data: bytes) -> Protocol:
    """The protocol of a file that has to be a kernel. PVH stands in for none: its loader names the
    fault."""
    return identify(data) or PVH


def load(guest: Guest, recording: Recording, kernel: bytes | None = None) -> Loaded | None:
    """Everything that QEMU puts in for `guest`, None without a kernel; `kernel` stands in for
    the kernel's file. Raises FwbuildError for a file that is refused."""
    if guest.baked:
        return load_baked(guest)
    if kernel is None:
        if guest.kernel is None:
            return None
        kernel = read_file(guest.kernel)
    if guest.firmware_loads:
        return load_file(guest, recording, kernel, name_of(guest))
    return expect(kernel).load(guest, recording, kernel, name_of(guest))


def judge(state: State) -> list[Departure]:
    """Each departure of a stopped guest from its kernel's protocol, in words."""
    return BY_NAME[state.protocol].judge(state)


def read(state: State) -> Handoff:
    """The information that the kernel is handed. Raises MemoryError where it lies nowhere."""
    return BY_NAME[state.protocol].read(state)


__all__ = [
    "BY_NAME", "LINUX", "LINUX16", "LINUX64", "MULTIBOOT", "MULTIBOOT2", "PRELOADED", "PROTOCOLS",
    "PVH", "BootProtocol", "Departure", "Handoff", "Protocol", "describing", "expect", "identify",
    "judge",
    "load", "read",
]  # fmt: skip
