"""A bzImage: QEMU cuts it at the end of the setup code and patches the header. An old one
is entered there, in real mode.

Source: QEMU 7.2, hw/i386/x86.c x86_load_linux.
"""

import re

from fwbuild.abi import linux_boot, offsets
from fwbuild.abi.fw_cfg import Key
from fwbuild.abi.linux_boot import LoadFlag, XLoadFlag
from fwbuild.emulator.loader.loaded import Loaded, initrd_items, numbers
from fwbuild.emulator.recording import Recording
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import Guest

REAL_ADDR, CMDLINE_ADDR, KERNEL_ADDR = 0x10000, 0x20000, 0x100000
LOADER_TYPE = 0xB0  # QEMU's, revision 0
VIDEO_MODES = {"normal": 0xFFFF, "ext": 0xFFFE, "ask": 0xFFFD}
OFFSETS = offsets(linux_boot.SETUP_HEADER)


def load(guest: Guest, recording: Recording, data: bytes, where: str) -> Loaded:
    """`data` is the bzImage; errors name `where`. Kernels that want to be loaded low, or by a
    protocol without a command line pointer, are left out."""
    header = linux_boot.SETUP_HEADER.parse(data.ljust(linux_boot.SETUP_HEADER.sizeof()))
    setup_size = linux_boot.SECTOR * (1 + (header.setup_sects or linux_boot.SETUP_SECTS_DEFAULT))
    low = header.version < linux_boot.PROTOCOL_CMDLINE
    if low or not header.loadflags & LoadFlag.LOADED_HIGH or setup_size > len(data):
        what = "a bzImage that is cut short, or older than boot protocol 2.02"
        raise FwbuildError(ExitCode.KERNEL, what, where=where)
    limit = header.initrd_addr_max
    modern = header.version >= linux_boot.PROTOCOL_MODERN
    if modern and header.xloadflags & XLoadFlag.CAN_BE_LOADED_ABOVE_4G:
        limit = (1 << 32) - 1
    initrd = initrd_items(guest, recording, limit)
    setup = bytearray(data[:setup_size])
    patch(setup, "cmd_line_ptr", CMDLINE_ADDR.to_bytes(4, "little"))
    patch(setup, "type_of_loader", bytes([LOADER_TYPE, header.loadflags | LoadFlag.CAN_USE_HEAP]))
    heap_end = CMDLINE_ADDR - REAL_ADDR - linux_boot.SECTOR
    patch(setup, "heap_end_ptr", heap_end.to_bytes(2, "little"))
    if match := re.search(r"vga=(\w+)", guest.append):
        patch(setup, "vid_mode", _video_mode(match[1]).to_bytes(2, "little"))
    if initrd:
        patch(setup, "ramdisk_image", initrd[Key.INITRD_ADDR] + initrd[Key.INITRD_SIZE])
    cmdline = guest.append.encode() + b"\0"
    keys = numbers(
        {
            Key.KERNEL_ADDR: KERNEL_ADDR,
            Key.KERNEL_SIZE: len(data) - setup_size,
            Key.KERNEL_ENTRY: 0,
            Key.SETUP_ADDR: REAL_ADDR,
            Key.SETUP_SIZE: setup_size,
            Key.CMDLINE_ADDR: CMDLINE_ADDR,
            Key.CMDLINE_SIZE: len(cmdline),
        }
    )
    keys |= {
        Key.KERNEL_DATA: data[setup_size:],
        Key.SETUP_DATA: bytes(setup),
        Key.CMDLINE_DATA: cmdline,
    }
    if modern:
        return Loaded("linux", KERNEL_ADDR, [], keys | initrd)
    return Loaded("linux16", REAL_ADDR + linux_boot.SECTOR, [], keys | initrd)


def _video_mode(text: str) -> int:
    try:
        return VIDEO_MODES[text] if text in VIDEO_MODES else int(text, 0) & 0xFFFF
    except ValueError:
        raise FwbuildError(ExitCode.INPUT, f"QEMU refuses vga={text}") from None


def patch(setup: bytearray, name: str, value: bytes) -> None:
    """Write over the header from a field on."""
    setup[OFFSETS[name] : OFFSETS[name] + len(value)] = value
