"""Puts a kernel, its initrd and its command line where QEMU's loader does: one module a
protocol, told apart in QEMU's order.

Source: QEMU 7.2, hw/i386/x86.c x86_load_linux.
"""

from pathlib import Path

from fwbuild.emulator.loader import linux, multiboot, pvh
from fwbuild.emulator.loader.loaded import Loaded
from fwbuild.emulator.recording import Recording
from fwbuild.files import read_file
from fwbuild.guest import Guest
from fwbuild.kernel.bzimage import is_bzimage
from fwbuild.kernel.multiboot import find_header


def load(guest: Guest, recording: Recording, kernel: bytes | None = None) -> Loaded | None:
    """Everything that QEMU puts in for `guest`, None without a kernel; `kernel` stands in for
    the kernel's file."""
    if kernel is None and guest.kernel is None:
        return None
    data = kernel if kernel is not None else read_file(guest.kernel or Path())
    where = str(guest.kernel or "the test kernel")
    if is_bzimage(data):
        return linux.load(guest, recording, data, where)
    loader = multiboot.load if find_header(data) else pvh.load
    return loader(guest, recording, data, where)


__all__ = ["Loaded", "load"]
