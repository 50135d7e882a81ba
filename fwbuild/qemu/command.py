"""A Guest as a QEMU command line."""

import os
from pathlib import Path

from fwbuild.abi import ports
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import file_names
from fwbuild.guest import RAM_FILE, Guest
from fwbuild.qemu.program import find, program
from fwbuild.sizes import KIB, MIB

RAM_ID = "ram"  # of a baked guest's memory
# QEMU has room for 32 files of fw_cfg, many of which are its own, and aborts at one too many.
SLOTS = ("-global", "fw_cfg.x-file-slots=64")
FROM_FILE = f"memory-backend={RAM_ID}"  # a property of its machine


def command(guest: Guest, *, bios: Path | None = None, console: Path | None = None) -> list[str]:
    """The arguments that boot `guest`; `console` takes what the debug console prints."""
    argv = [program().path, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    argv += ["-M", f"{guest.machine},{FROM_FILE}" if guest.baked else guest.machine]
    argv += ["-accel", guest.accel] if guest.accel else []
    argv += ["-smp", str(guest.smp), "-m", size_text(guest.memory), "-device", "isa-debug-exit"]
    if bios:
        argv += ["-bios", str(bios)]
    if console:
        argv += ["-chardev", f"file,id=debug,path={escaped(console)}", "-device"]
        argv += [f"isa-debugcon,iobase={ports.DEBUG_CONSOLE:#x},chardev=debug"]
    if guest.baked:
        return argv + _baked(guest, guest.baked) + list(guest.extra)
    if guest.firmware_loads:
        return argv + _files(guest) + list(guest.extra)
    if guest.kernel:
        argv += ["-kernel", str(guest.kernel)]
        argv += ["-append", guest.append] if guest.append else []
    if guest.initrd:
        argv += ["-initrd", str(guest.initrd)]
    return argv + list(guest.extra)


def _files(guest: Guest) -> list[str]:
    """The fw_cfg files of a kernel that the firmware loads."""
    files: dict[str, Path | str] = {file_names.KERNEL: guest.kernel} if guest.kernel else {}
    texts = {file_names.CMDLINE: guest.append}
    for number, (path, text) in enumerate(guest.modules, 1):
        files[file_names.module(number)] = path
        texts[file_names.module_cmdline(number)] = text
    found = [f"name={name},file={escaped(path)}" for name, path in files.items()]
    found += [f"name={name},string={escaped(text)}" for name, text in texts.items() if text]
    return [*SLOTS, *(word for value in found for word in ("-fw_cfg", value))]


def escaped(text: Path | str) -> str:
    """The value of a QEMU option, where a comma ends a value unless doubled."""
    return str(text).replace(",", ",,")


def _baked(guest: Guest, folder: Path) -> list[str]:
    """The RAM file of a baked guest, and what is added to its command line. Raises FwbuildError
    for a file that the QEMU which is used opens for writing, and the user may only read."""
    ram, read_only = folder / RAM_FILE, opens_read_only()
    if not read_only and not os.access(ram, os.W_OK, effective_ids=True):
        what = f"this user may only read it, and QEMU {program().version} opens it for writing"
        hint = "take a QEMU that has rom=off (from 8.2 on), or `cp -r --sparse=always` the folder"
        raise FwbuildError(ExitCode.INPUT, what, where=str(ram), hint=hint)
    argv = ["-object", memory_file(ram, guest.memory, read_only=read_only)]
    if guest.append:
        argv += ["-fw_cfg", f"name={file_names.APPEND},string={escaped(guest.append)}"]
    return argv


def memory_file(path: Path, size: int, *, read_only: bool) -> str:
    """The value of -object for RAM that starts as a file's contents; the file is never changed."""
    value = f"memory-backend-file,id={RAM_ID},size={size},mem-path={escaped(path)},share=off"
    return value + (",readonly=on,rom=off" if read_only else "")


def opens_read_only() -> bool:
    """Whether the QEMU that is used takes RAM from a file that it opens for reading alone; without
    one, no."""
    return find() is not None and "rom=" in program().ask("-object", "memory-backend-file,help")


def size_text(memory: int) -> str:
    """Bytes of RAM as -m takes them."""
    return f"{memory // KIB}K" if memory % MIB else f"{memory // MIB}M"
