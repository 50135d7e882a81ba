"""Hints before a boot: what is known to leave a Linux guest mute, or waiting for ever."""

from collections.abc import Iterator

from fwbuild.abi.elf import MAGIC
from fwbuild.guest import Guest
from fwbuild.kernel.bzimage import is_bzimage
from fwbuild.machines import MICROVM
from fwbuild.protocols.pvh import BANNER

SERIAL_DRIVER = b"serial8250"  # Linux, drivers/tty/serial/8250: the driver's name


def hints(guest: Guest, kernel: bytes) -> Iterator[str]:
    """What the user of a guest with this kernel file should know; nothing for one that is no
    Linux."""
    is_vmlinux = kernel.startswith(MAGIC)
    if not is_bzimage(kernel) and not (is_vmlinux and BANNER.search(kernel)):
        return
    yield from _console(guest, kernel if is_vmlinux else None)
    if guest.accel == "tcg" and guest.family is MICROVM:
        yield from _clock(guest)


def _console(guest: Guest, vmlinux: bytes | None) -> Iterator[str]:
    words = guest.append.split()
    if "isa-serial=off" in guest.machine.split(","):
        yield "isa-serial=off: the machine has no serial port, so nothing of it comes here"
    elif not any(word.startswith("console=") for word in words):
        yield "no console= in the command line: --append console=ttyS0 shows what Linux says"
    elif vmlinux is not None and "console=ttyS0" in guest.append and SERIAL_DRIVER not in vmlinux:
        yield "the kernel has no driver for the serial port: CONFIG_SERIAL_8250_CONSOLE=y"


def _clock(guest: Guest) -> Iterator[str]:
    off = [word for word in guest.machine.split(",") if word in ("pit=off", "pic=off")]
    if off:
        yield f"{','.join(off)} under TCG: Linux may find no timer, and wait for ever"
    elif "-icount" not in guest.extra and "tsc_early_khz=" not in guest.append and guest.smp == 1:
        yield (
            "microvm under TCG: Linux may find no clock that it trusts, and wait for ever; "
            f"-- {' '.join(MICROVM.tcg_arguments)} gives it one"
        )
