"""Puts a kernel, its initrd and its command line where QEMU's loader does.

Source: QEMU 7.2, hw/i386/x86.c x86_load_linux and include/hw/elf_ops.h. Which loader QEMU
picks is only told for the PVH case; the others leave KERNEL_ENTRY at 0.
"""

from dataclasses import dataclass, field
from pathlib import Path

from fwbuild.abi import e820
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator.recording import Recording
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import Guest
from fwbuild.kernel.vmlinux import parse_vmlinux, read_file

SETUP_SIZE = 8192  # QEMU keeps the first 8 KiB of the ELF file as SETUP_DATA
ACPI_DATA_SIZE = {"microvm": 0, "pc": 0x28000, "q35": 0x28000}  # kept free at the end of low RAM
INITRD_ALIGN = 4096
MORE_MEMORY = "give the guest more memory (-m)"


@dataclass
class Loaded:
    """What the loader did: `memory` is (address, bytes) put into RAM, `keys` the fw_cfg items."""

    entry: int
    memory: list[tuple[int, bytes]] = field(default_factory=list)
    keys: dict[int, bytes] = field(default_factory=dict)


def load(guest: Guest, recording: Recording, kernel: bytes | None = None) -> Loaded | None:
    """Everything that QEMU puts in for `guest`, None without a kernel; `kernel` stands in for
    the kernel's file."""
    if kernel is None and guest.kernel is None:
        return None
    data = kernel if kernel is not None else read_file(guest.kernel or Path())
    where = str(guest.kernel or "the test kernel")
    vmlinux = parse_vmlinux(data, where)
    for address, content in vmlinux.memory:
        if not recording.has_ram(address, len(content)):
            what = f"a segment at {address:#x} lies outside RAM"
            raise FwbuildError(ExitCode.KERNEL, what, where=where, hint=MORE_MEMORY)
    cmdline = guest.append.encode() + b"\0"
    numbers = {
        Key.KERNEL_ADDR: vmlinux.low,
        Key.KERNEL_SIZE: vmlinux.high - vmlinux.low,
        Key.KERNEL_ENTRY: vmlinux.entry,
        Key.SETUP_ADDR: 0,
        Key.SETUP_SIZE: SETUP_SIZE,
        Key.CMDLINE_ADDR: 0,
        Key.CMDLINE_SIZE: len(cmdline),
    }
    keys: dict[int, bytes] = {
        Key.SETUP_DATA: data[:SETUP_SIZE].ljust(SETUP_SIZE, b"\0"),
        Key.CMDLINE_DATA: cmdline,
    }
    if guest.initrd:
        initrd = read_file(guest.initrd)
        numbers[Key.INITRD_ADDR] = _initrd_address(guest, recording, len(initrd))
        numbers[Key.INITRD_SIZE] = len(initrd)
        keys[Key.INITRD_DATA] = initrd
    keys |= {key: value.to_bytes(4, "little") for key, value in numbers.items()}
    return Loaded(vmlinux.entry, vmlinux.memory, keys)


def _initrd_address(guest: Guest, recording: Recording, size: int) -> int:
    """As high in low RAM as QEMU puts an initrd of `size` bytes."""
    low_end = max(a + s for a, s in recording.ram() if a < e820.FOUR_GIB)
    ceiling = low_end - ACPI_DATA_SIZE[guest.family] - 1
    if size >= ceiling:
        what = "initrd is larger than low memory"
        raise FwbuildError(ExitCode.INPUT, what, where=str(guest.initrd), hint=MORE_MEMORY)
    return (ceiling - size) & -INITRD_ALIGN
