"""A bzImage: the kernel file that has a 16-bit and a 32-bit entry.

QEMU cuts it at the end of the setup code and patches the header.
Source: QEMU, hw/i386/x86.c x86_load_linux(); Linux, Documentation/arch/x86/boot.rst,
"Details of Header Fields".
"""

import re
from enum import IntFlag
from typing import Any

from fwbuild.abi import linux_boot, offsets
from fwbuild.abi.fw_cfg import Key
from fwbuild.abi.linux_boot import LoadFlag, XLoadFlag
from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.recording import Recording
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware.options import BootProtocol
from fwbuild.guest import Guest
from fwbuild.kernel.bzimage import Bzimage, is_bzimage, parse_bzimage, unpack, version_text
from fwbuild.kernel.decompress import PayloadError, compression
from fwbuild.kernel.vmlinux import pvh_problem
from fwbuild.protocols import pvh
from fwbuild.protocols.loading import initrd_items, number_items
from fwbuild.protocols.protocol import Protocol
from fwbuild.protocols.report import Problem, Report, flag_names

ENTRY_16 = linux_boot.QEMU_SETUP_ADDR + linux_boot.SECTOR
ENTRY_32 = linux_boot.QEMU_KERNEL_ADDR
ENTRY_64 = ENTRY_32 + linux_boot.ENTRY_64
LOADER_TYPE = 0xB0  # QEMU's, revision 0
VIDEO_MODES = {"normal": 0xFFFF, "ext": 0xFFFE, "ask": 0xFFFD}
OFFSETS = offsets(linux_boot.SETUP_HEADER)

# Field: the boot protocol that introduced it. 0x200 is the oldest with a header.
FIELDS = {
    "setup_sects": 0x200,
    "syssize": linux_boot.PROTOCOL_SYSSIZE,
    "code32_start": 0x200,
    "initrd_addr_max": 0x203,
    "kernel_alignment": 0x205,
    "relocatable_kernel": 0x205,
    "cmdline_size": 0x206,
    "payload_offset": linux_boot.PROTOCOL_PAYLOAD,
    "payload_length": linux_boot.PROTOCOL_PAYLOAD,
    "min_alignment": 0x20A,
    "pref_address": 0x20A,
    "init_size": 0x20A,
    "handover_offset": 0x20B,
}
FLAGS: dict[str, tuple[int, type[IntFlag]]] = {
    "loadflags": (0x200, linux_boot.LoadFlag),
    "xloadflags": (linux_boot.PROTOCOL_MODERN, linux_boot.XLoadFlag),
}


def is_modern(data: bytes) -> bool | None:
    """Whether a bzImage has the 32-bit entry that the firmware takes; None for another file."""
    if not is_bzimage(data):
        return None
    return bool(parse_bzimage(data).header.version >= linux_boot.PROTOCOL_MODERN)


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
    patch(setup, "cmd_line_ptr", linux_boot.QEMU_CMDLINE_ADDR.to_bytes(4, "little"))
    patch(setup, "type_of_loader", bytes([LOADER_TYPE, header.loadflags | LoadFlag.CAN_USE_HEAP]))
    heap_end = linux_boot.QEMU_CMDLINE_ADDR - linux_boot.QEMU_SETUP_ADDR - linux_boot.SECTOR
    patch(setup, "heap_end_ptr", heap_end.to_bytes(2, "little"))
    if match := re.search(r"vga=(\w+)", guest.append):
        patch(setup, "vid_mode", _video_mode(match[1]).to_bytes(2, "little"))
    if initrd:
        patch(setup, "ramdisk_image", initrd[Key.INITRD_ADDR] + initrd[Key.INITRD_SIZE])
    cmdline = guest.append.encode() + b"\0"
    keys = number_items(
        {
            Key.KERNEL_ADDR: linux_boot.QEMU_KERNEL_ADDR,
            Key.KERNEL_SIZE: len(data) - setup_size,
            Key.KERNEL_ENTRY: 0,
            Key.SETUP_ADDR: linux_boot.QEMU_SETUP_ADDR,
            Key.SETUP_SIZE: setup_size,
            Key.CMDLINE_ADDR: linux_boot.QEMU_CMDLINE_ADDR,
            Key.CMDLINE_SIZE: len(cmdline),
        }
    )
    keys |= {
        Key.KERNEL_DATA: data[setup_size:],
        Key.SETUP_DATA: bytes(setup),
        Key.CMDLINE_DATA: cmdline,
    }
    protocol, entry = BootProtocol.LINUX16, ENTRY_16
    if modern:
        protocol, entry = BootProtocol.LINUX, ENTRY_32
    return Loaded(protocol, entry, [], keys | initrd)


def _video_mode(text: str) -> int:
    try:
        return VIDEO_MODES[text] if text in VIDEO_MODES else int(text, 0) & 0xFFFF
    except ValueError:
        raise FwbuildError(ExitCode.INPUT, f"QEMU refuses vga={text}") from None


def patch(setup: bytearray, name: str, value: bytes) -> None:
    """Write over the header from a field on."""
    setup[OFFSETS[name] : OFFSETS[name] + len(value)] = value


def entries(data: bytes) -> dict[str, int]:
    """The linear address of each entry that a firmware may take, by name."""
    header = parse_bzimage(data).header
    found = {"16-bit": ENTRY_16, "32-bit": ENTRY_32}
    if header.version >= linux_boot.PROTOCOL_MODERN and header.xloadflags & XLoadFlag.KERNEL_64:
        found["64-bit"] = ENTRY_64
    return found


def report(data: bytes) -> Report:
    """The report of `fwbuild inspect` on a bzImage."""
    image = parse_bzimage(data)
    version = image.header.version
    found = Report("bzimage", f"bzImage, boot protocol {version_text(version)}", _facts(image))
    found.qemu = "loads it by the HdrS magic, ahead of any other header, and fills in its header"
    if image.setup_size > len(data):
        found.problems.append(
            Problem(
                'QEMU refuses it: "invalid kernel header": '
                "the setup code passes the end of the file",
                "copy the file again",
            )
        )
    elif image.cut_short:
        missing = "the file ends before the kernel does"
        found.problems.append(Problem(missing, "copy the file again"))
    _protocol(image, found)
    _inside(image, found)
    return found


def _facts(image: Bzimage) -> dict[str, Any]:
    header = image.header
    facts: dict[str, Any] = {"protocol_version": version_text(header.version)}
    if image.release:
        facts["kernel_version"] = image.release
    for name, (since, kind) in FLAGS.items():
        if header.version >= since:
            facts[name] = flag_names(kind, header[name])
    facts |= {name: header[name] for name, since in FIELDS.items() if header.version >= since}
    try:
        payload = image.payload
        facts["compression"] = compression(payload)
        facts["uncompressed_size"] = int.from_bytes(payload[-4:], "little")
    except PayloadError:
        facts["compression"] = None
    return facts


def _protocol(image: Bzimage, found: Report) -> None:
    """Which of its entries the firmware takes."""
    header = image.header
    if header.version >= linux_boot.PROTOCOL_MODERN:
        found.protocol = BootProtocol.LINUX
    elif header.version < linux_boot.PROTOCOL_CMDLINE:
        found.stops("KERNEL_KIND", f"{header.version:#x}")
    elif not header.loadflags & linux_boot.LoadFlag.LOADED_HIGH:
        found.problems.append(Problem("a zImage, which is loaded below 1 MiB", "build a bzImage"))
    else:
        found.protocol = BootProtocol.LINUX16
        if image.setup_size > linux_boot.SETUP_SIZE_MAX:
            found.stops("SETUP_SIZE", f"{image.setup_size:#x}")
    if found.protocol and not found.templates:
        found.stops("KERNEL_KIND", f"{header.version:#x}")


def _inside(image: Bzimage, found: Report) -> None:
    """What the vmlinux inside is."""
    found.facts["vmlinux"] = None
    try:
        vmlinux = unpack(image)[2]
    except PayloadError as error:
        if found.facts["compression"]:
            what = f"the kernel inside cannot be unpacked: {error}"
            found.problems.append(Problem(what, "copy the file again"))
        else:  # not all that is made like Linux has one: memtest86+, iPXE
            found.notes.append(f"no vmlinux is seen inside: {error}")
        return
    found.facts["vmlinux"] = pvh.facts(vmlinux)
    if problem := pvh_problem(vmlinux):
        found.notes.append(f"the vmlinux inside does not boot by PVH: {problem[0]}")
    else:
        found.notes.append("the vmlinux inside boots by PVH; `fwbuild extract` takes it out")


class BzimageProtocol(Protocol):
    """The part that the protocols of a bzImage share: its file."""

    def load(self, guest: Guest, recording: Recording, data: bytes, where: str) -> Loaded:
        return load(guest, recording, data, where)

    def entries(self, data: bytes, where: str) -> dict[str, int]:
        return entries(data)

    def report(self, data: bytes) -> Report:
        return report(data)
