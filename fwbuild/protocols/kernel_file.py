"""A kernel that the firmware loads itself: files of fw_cfg where QEMU has no -kernel.

Source: docs/decisions/12-the-firmware-loads-kernels.md.
"""

import io
import os

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from fwbuild.emulator.loaded import Loaded
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import read_file
from fwbuild.firmware import file_names
from fwbuild.firmware.options import BootProtocol
from fwbuild.guest import Guest
from fwbuild.kernel.notes import written_note
from fwbuild.kernel.vmlinux import RELINK, LimitError, in_memory, parse_elf

NO_WAY = "the firmware finds no boot protocol in it: no PVH ELF note"


def load_file(guest: Guest, data: bytes, where: str) -> Loaded:
    """The files of fw_cfg that hold `data` as the kernel, the command line, and the initrd as the
    first module; and what the kernel's segments look like once the firmware has loaded them.
    Errors name `where`. Raises FwbuildError for a file that the firmware refuses."""
    try:
        elf = parse_elf(data)
        note = written_note(ELFFile(io.BytesIO(data)))
    except ELFError as error:
        what = f"no ELF file to boot: {error}"
        raise FwbuildError(ExitCode.KERNEL, what, where=where) from None
    if note is None:
        raise FwbuildError(ExitCode.KERNEL, NO_WAY, where=where)
    try:
        placed = in_memory(elf)
    except LimitError as error:
        raise FwbuildError(ExitCode.KERNEL, str(error), where=where, hint=RELINK) from None
    files = {file_names.KERNEL: data}
    if guest.append:
        files[file_names.CMDLINE] = os.fsencode(guest.append)
    if guest.initrd:
        files[file_names.MODULE] = read_file(guest.initrd)
    return Loaded(BootProtocol.PVH, note.entry, files=files, placed=placed)
