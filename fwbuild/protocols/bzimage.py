"""A bzImage: the kernel file that has a 16-bit and a 32-bit entry.

QEMU cuts it at the end of the setup code and patches the header.
Source: QEMU, hw/i386/x86.c x86_load_linux(); Linux, Documentation/arch/x86/boot.rst,
"Details of Header Fields".
"""

import os
import re
from abc import abstractmethod
from enum import IntFlag
from typing import Any

from fwbuild.abi import e820, linux_boot, offsets
from fwbuild.abi.fw_cfg import Key
from fwbuild.abi.linux_boot import LoadFlag, XLoadFlag
from fwbuild.emulator.loaded import Loaded
from fwbuild.emulator.recording import Recording
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import Guest
from fwbuild.kernel.bzimage import Bzimage, is_bzimage, parse_bzimage, unpack, version_text
from fwbuild.kernel.decompress import PayloadError, compression
from fwbuild.kernel.vmlinux import pvh_problem
from fwbuild.protocols.loading import initrd_items, number_items
from fwbuild.protocols.protocol import Protocol
from fwbuild.protocols.report import Problem, Report, Way, elf_facts, flag_names

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


class BzimageProtocol(Protocol):
    """The part that the two protocols of a bzImage share. `entry` is the linear address at which
    the firmware enters the kernel."""

    entry: int

    @abstractmethod
    def takes(self, version: int) -> bool:
        """Whether the firmware enters a kernel of this version of the boot protocol this way."""

    @abstractmethod
    def judge_file(self, image: Bzimage, found: Report) -> None:
        """Set the report's `protocol`, or add why the firmware does not enter the kernel."""

    def recognises(self, data: bytes) -> bool:
        return is_bzimage(data) and self.takes(parse_bzimage(data).header.version)

    def load(self, guest: Guest, recording: Recording, data: bytes, where: str) -> Loaded:
        """Kernels that want to be loaded low, or by a protocol without a command line pointer,
        are left out."""
        image = parse_bzimage(data)
        _check(image, where)
        initrd = initrd_items(guest, recording, _initrd_limit(image.header))
        cmdline = os.fsencode(guest.append) + b"\0"
        keys = number_items(
            {
                Key.KERNEL_ADDR: linux_boot.QEMU_KERNEL_ADDR,
                Key.KERNEL_SIZE: len(data) - image.setup_size,
                Key.KERNEL_ENTRY: 0,
                Key.SETUP_ADDR: linux_boot.QEMU_SETUP_ADDR,
                Key.SETUP_SIZE: image.setup_size,
                Key.CMDLINE_ADDR: linux_boot.QEMU_CMDLINE_ADDR,
                Key.CMDLINE_SIZE: len(cmdline),
            }
        )
        keys |= {
            Key.KERNEL_DATA: data[image.setup_size :],
            Key.SETUP_DATA: _filled_in(image, guest, initrd),
            Key.CMDLINE_DATA: cmdline,
        }
        return Loaded(self.name, self.entry, [], keys | initrd)

    def entries(self, data: bytes, where: str) -> dict[str, int]:
        header = parse_bzimage(data).header
        found = {"16-bit": ENTRY_16, "32-bit": ENTRY_32}
        if _xloadflags(header) & XLoadFlag.KERNEL_64:
            found["64-bit"] = ENTRY_64
        return found

    def report(self, data: bytes) -> Report:
        image = parse_bzimage(data)
        version = image.header.version
        found = Report("bzimage", f"bzImage, boot protocol {version_text(version)}", _facts(image))
        found.qemu = (
            "loads it by the HdrS magic, ahead of any other header, and fills in its header"
        )
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
        self.judge_file(image, found)
        if found.protocol and not found.templates:
            found.stops("KERNEL_KIND", f"{version:#x}")
        _inside(image, found)
        return found


def initrd_of(header: Any) -> list[tuple[str, str]]:
    """The initrd for a handoff's summary()."""
    if not header.ramdisk_size:
        return []
    return [("initrd", f"{header.ramdisk_image:#x}, {header.ramdisk_size} bytes")]


def _check(image: Bzimage, where: str) -> None:
    """Raise the error of a kernel that neither protocol can start."""
    header = image.header
    low = not header.loadflags & LoadFlag.LOADED_HIGH
    if low or header.version < linux_boot.PROTOCOL_CMDLINE or image.setup_size > len(image.data):
        what = "a bzImage that is cut short, or older than boot protocol 2.02"
        hint = "copy the file again; QEMU loads older kernels with another firmware"
        raise FwbuildError(ExitCode.KERNEL, what, where=where, hint=hint)


def _xloadflags(header: Any) -> int:
    """The header's xloadflags; 0 of a kernel that does not know them."""
    return int(header.xloadflags) if header.version >= linux_boot.PROTOCOL_MODERN else 0


def _initrd_limit(header: Any) -> int:
    """The highest address that the initrd's last byte may have."""
    if _xloadflags(header) & XLoadFlag.CAN_BE_LOADED_ABOVE_4G:
        return e820.FOUR_GIB - 1
    return int(header.initrd_addr_max)


def _filled_in(image: Bzimage, guest: Guest, initrd: dict[int, bytes]) -> bytes:
    """The setup code with the header's fields that QEMU writes."""
    heap_end = linux_boot.QEMU_CMDLINE_ADDR - linux_boot.QEMU_SETUP_ADDR - linux_boot.SECTOR
    fields = {
        "cmd_line_ptr": linux_boot.QEMU_CMDLINE_ADDR.to_bytes(4, "little"),
        "type_of_loader": bytes([LOADER_TYPE]),
        "loadflags": bytes([image.header.loadflags | LoadFlag.CAN_USE_HEAP]),
        "heap_end_ptr": heap_end.to_bytes(2, "little"),
    }
    if match := re.search(r"vga=(\w+)", guest.append):
        fields["vid_mode"] = _video_mode(match[1]).to_bytes(2, "little")
    if initrd:
        fields["ramdisk_image"] = initrd[Key.INITRD_ADDR]
        fields["ramdisk_size"] = initrd[Key.INITRD_SIZE]
    setup = bytearray(image.data[: image.setup_size])
    for name, value in fields.items():
        setup[OFFSETS[name] : OFFSETS[name] + len(value)] = value
    return bytes(setup)


def _video_mode(text: str) -> int:
    try:
        return VIDEO_MODES[text] if text in VIDEO_MODES else int(text, 0) & 0xFFFF
    except ValueError:
        what, hint = f"QEMU refuses vga={text}", "a number, normal, ext or ask"
        raise FwbuildError(ExitCode.INPUT, what, where="--append", hint=hint) from None


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


def _inside(image: Bzimage, found: Report) -> None:
    """The facts of the vmlinux inside."""
    found.facts["vmlinux"] = None
    try:
        vmlinux = unpack(image)[2]
    except PayloadError as error:
        if found.facts["compression"]:
            what = f"the kernel inside cannot be unpacked: {error}"
            found.problems.append(Problem(what, "copy the file again"))
        else:  # some payloads in this format have none: memtest86+, iPXE
            found.notes.append(f"no vmlinux is seen inside: {error}")
        return
    found.facts["vmlinux"] = elf_facts(vmlinux)
    if problem := pvh_problem(vmlinux):
        found.notes.append(f"the vmlinux inside does not boot by PVH: {problem[0]}")
    else:
        found.inner = Way.VMLINUX
        found.notes.append("the vmlinux inside boots by PVH; `fwbuild extract` takes it out")
