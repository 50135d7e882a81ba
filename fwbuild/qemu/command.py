"""A Guest as a QEMU command line."""

from pathlib import Path

from fwbuild.abi import ports
from fwbuild.firmware import file_names
from fwbuild.guest import Guest
from fwbuild.qemu.program import program
from fwbuild.sizes import KIB, MIB


def command(guest: Guest, *, bios: Path | None = None, console: Path | None = None) -> list[str]:
    """The arguments that boot `guest`; `console` takes what the debug console prints."""
    argv = [program().path, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    argv += ["-M", guest.machine]
    argv += ["-accel", guest.accel] if guest.accel else []
    argv += ["-smp", str(guest.smp), "-m", _size(guest.memory), "-device", "isa-debug-exit"]
    if bios:
        argv += ["-bios", str(bios)]
    if console:
        argv += ["-chardev", f"file,id=debug,path={escaped(console)}", "-device"]
        argv += [f"isa-debugcon,iobase={ports.DEBUG_CONSOLE:#x},chardev=debug"]
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
    values = {file_names.KERNEL: guest.kernel, file_names.MODULE: guest.initrd}
    found = [f"name={name},file={escaped(path)}" for name, path in values.items() if path]
    if guest.append:
        found.append(f"name={file_names.CMDLINE},string={escaped(guest.append)}")
    return [word for value in found for word in ("-fw_cfg", value)]


def escaped(text: Path | str) -> str:
    """The value of a QEMU option, where a comma ends a value unless doubled."""
    return str(text).replace(",", ",,")


def _size(memory: int) -> str:
    return f"{memory // KIB}K" if memory % MIB else f"{memory // MIB}M"
