"""A Guest as a QEMU command line."""

from pathlib import Path

from fwbuild.abi import ports
from fwbuild.guest import Guest
from fwbuild.qemu.program import program
from fwbuild.sizes import KIB, MIB


def command(guest: Guest, *, bios: Path | None = None, console: Path | None = None) -> list[str]:
    """The arguments that boot `guest`; `console` takes what the debug console prints."""
    argv = [program().path, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    argv += ["-M", guest.machine, "-accel", guest.accel, "-smp", str(guest.smp)]
    argv += ["-m", _size(guest.memory), "-device", "isa-debug-exit"]
    if bios:
        argv += ["-bios", str(bios)]
    if console:
        argv += ["-chardev", f"file,id=debug,path={escaped(console)}", "-device"]
        argv += [f"isa-debugcon,iobase={ports.DEBUG_CONSOLE:#x},chardev=debug"]
    if guest.kernel:
        argv += ["-kernel", str(guest.kernel)]
        argv += ["-append", guest.append] if guest.append else []
    if guest.initrd:
        argv += ["-initrd", str(guest.initrd)]
    return argv + list(guest.extra)


def escaped(path: Path) -> str:
    """A path as the value of a QEMU option, where a comma ends a value unless doubled."""
    return str(path).replace(",", ",,")


def _size(memory: int) -> str:
    return f"{memory // KIB}K" if memory % MIB else f"{memory // MIB}M"
