"""A kernel that the firmware loads itself: files of fw_cfg where QEMU has no -kernel.

Source: docs/decisions/12-the-firmware-loads-kernels.md.
"""

import os

from fwbuild.emulator.loaded import Loaded
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import read_file
from fwbuild.firmware import file_names
from fwbuild.firmware.options import BootProtocol
from fwbuild.guest import Guest
from fwbuild.kernel.elf_file import ElfError, LimitError
from fwbuild.kernel.vmlinux import MEMORY_MAX, TOO_LARGE, beyond_limit, parse_elf, refusal

NO_WAY = "the firmware finds no boot protocol in it: no PVH ELF note"
ADD_NOTE = "build Linux with CONFIG_PVH=y"


def load_file(guest: Guest, data: bytes, where: str) -> Loaded:
    """The files of fw_cfg that hold `data` as the kernel, the command line, and the initrd as the
    first module; and what the kernel's segments look like once the firmware has loaded them.
    Errors name `where`. Raises FwbuildError for a file that the firmware refuses."""
    try:
        elf = parse_elf(data)
    except ElfError as error:
        raise refusal(error, where) from None
    if elf.pvh_note is None or not elf.pvh_note.in_segment:
        raise FwbuildError(ExitCode.KERNEL, NO_WAY, where=where, hint=ADD_NOTE)
    if sum(placed.size for placed in elf.placed) > MEMORY_MAX:
        raise beyond_limit(LimitError(TOO_LARGE), where)
    files = {file_names.KERNEL: data}
    if guest.append:
        files[file_names.CMDLINE] = os.fsencode(guest.append)
    if guest.initrd:
        files[file_names.MODULE] = read_file(guest.initrd)
    return Loaded(BootProtocol.PVH, elf.pvh_note.entry, files=files, placed=elf.placed)
