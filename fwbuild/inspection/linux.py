"""Reports on a bzImage.

Source: Linux, Documentation/arch/x86/boot.rst "Details of Header Fields".
"""

from enum import IntFlag
from typing import Any

from fwbuild.abi import linux_boot
from fwbuild.inspection import elf
from fwbuild.inspection.report import Problem, Report, flag_names
from fwbuild.kernel.bzimage import Bzimage, is_bzimage, parse_bzimage, unpack, version_text
from fwbuild.kernel.decompress import PayloadError, compression
from fwbuild.kernel.vmlinux import pvh_problem

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


def report(data: bytes) -> Report | None:
    """The report on a bzImage, None for another file."""
    if not is_bzimage(data):
        return None
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
        found.protocol = "linux"
    elif header.version < linux_boot.PROTOCOL_CMDLINE:
        found.stops("KERNEL_KIND", f"{header.version:#x}")
    elif not header.loadflags & linux_boot.LoadFlag.LOADED_HIGH:
        found.problems.append(Problem("a zImage, which is loaded below 1 MiB", "build a bzImage"))
    else:
        found.protocol = "linux16"
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
    found.facts["vmlinux"] = elf.facts(vmlinux)
    if problem := pvh_problem(vmlinux):
        found.notes.append(f"the vmlinux inside does not boot by PVH: {problem[0]}")
    else:
        found.notes.append("the vmlinux inside boots by PVH; `fwbuild extract` takes it out")
