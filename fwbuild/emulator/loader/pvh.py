"""An uncompressed kernel with a PVH note: QEMU puts its segments into RAM itself.

Source: QEMU 7.2, hw/i386/x86.c load_elfboot and include/hw/elf_ops.h.
"""

from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator.loader.loaded import MORE_MEMORY, Loaded, initrd_items, numbers
from fwbuild.emulator.recording import Recording
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import Guest
from fwbuild.kernel.vmlinux import parse_vmlinux

SETUP_SIZE = 8192  # QEMU keeps the first 8 KiB of the ELF file as SETUP_DATA


def load(guest: Guest, recording: Recording, data: bytes, where: str) -> Loaded:
    """`data` is the ELF file; errors name `where`."""
    vmlinux = parse_vmlinux(data, where)
    for address, content in vmlinux.memory:
        if not recording.has_ram(address, len(content)):
            what = f"a segment at {address:#x} lies outside RAM"
            raise FwbuildError(ExitCode.KERNEL, what, where=where, hint=MORE_MEMORY)
    cmdline = guest.append.encode() + b"\0"
    keys = numbers(
        {
            Key.KERNEL_ADDR: vmlinux.low,
            Key.KERNEL_SIZE: vmlinux.high - vmlinux.low,
            Key.KERNEL_ENTRY: vmlinux.entry,
            Key.SETUP_ADDR: 0,
            Key.SETUP_SIZE: SETUP_SIZE,
            Key.CMDLINE_ADDR: 0,
            Key.CMDLINE_SIZE: len(cmdline),
        }
    )
    keys |= {
        Key.SETUP_DATA: data[:SETUP_SIZE].ljust(SETUP_SIZE, b"\0"),
        Key.CMDLINE_DATA: cmdline,
    }
    return Loaded("pvh", vmlinux.entry, vmlinux.memory, keys | initrd_items(guest, recording))
