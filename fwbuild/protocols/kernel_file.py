"""A kernel that the firmware loads itself: files of fw_cfg where QEMU has no -kernel.

Source: docs/decisions/12-the-firmware-loads-kernels.md.
"""

import os
from pathlib import Path

from fwbuild.abi import e820
from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.recording import Recording
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import read_file
from fwbuild.firmware import file_names
from fwbuild.guest import Guest
from fwbuild.kernel.elf_file import LimitError
from fwbuild.kernel.placed import Placed
from fwbuild.kernel.vmlinux import MEMORY_MAX, TOO_LARGE, beyond_limit
from fwbuild.protocols.linux64 import LINUX64
from fwbuild.protocols.multiboot import MULTIBOOT
from fwbuild.protocols.multiboot2 import MULTIBOOT2
from fwbuild.protocols.protocol import Protocol
from fwbuild.protocols.pvh import PVH

# In the order in which the firmware looks at a file.
ORDER: tuple[Protocol, ...] = (MULTIBOOT2, MULTIBOOT, PVH, LINUX64)
NO_WAY = "the firmware finds no boot protocol in it"
HINT = "it has to have a Multiboot header, or to be an ELF file: with a PVH note, or a 64-bit one"


def load_file(guest: Guest, recording: Recording, data: bytes, where: str) -> Loaded:
    """The files of fw_cfg that hold `data` as the kernel, the command line, and the initrd's
    modules; and what the kernel's segments look like once the firmware has loaded them. Errors name
    `where`. Raises FwbuildError for a file that the firmware refuses."""
    top = max((a + s for a, s in recording.ram() if a < e820.FOUR_GIB), default=0)
    protocol, entry, placed = placing(data, where, top)
    if sum(p.size for p in placed) > MEMORY_MAX:
        raise beyond_limit(LimitError(TOO_LARGE), where)
    return Loaded(protocol.name, entry, files=_files(guest, data, protocol), placed=placed)


def placing(data: bytes, where: str, top: int) -> tuple[Protocol, int, list[Placed]]:
    """(protocol, entry, segments) by which the firmware takes a kernel's file, as Protocol.place
    has them. Raises FwbuildError for a file that the firmware refuses."""
    for protocol in ORDER:
        if found := protocol.place(data, where, top):
            entry, placed = found
            return protocol, entry, placed
    raise FwbuildError(ExitCode.KERNEL, NO_WAY, where=where, hint=HINT)


def check_modules(guest: Guest, protocol: Protocol) -> None:
    """Raise the error of more modules than the kernel gets."""
    if len(guest.modules) > protocol.modules_max:
        what = f"{len(guest.modules)} modules"
        hint = f"the firmware takes {protocol.modules_max} by the {protocol.title}; "
        hint += "put several into one file"
        raise FwbuildError(ExitCode.USAGE, what, where="--initrd", hint=hint)


def _files(guest: Guest, data: bytes, protocol: Protocol) -> dict[str, bytes]:
    check_modules(guest, protocol)
    files = {file_names.KERNEL: data}
    if guest.append:
        files[file_names.CMDLINE] = os.fsencode(guest.append)
    for number, (path, text) in enumerate(guest.modules, 1):
        files[file_names.module(number)] = read_file(Path(path))
        if text:
            files[file_names.module_cmdline(number)] = os.fsencode(text)
    return files
