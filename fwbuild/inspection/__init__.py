"""Inspection of a file: its kind, who boots it and how, and why nobody does if so."""

from pathlib import Path

from fwbuild.abi import linux_boot, offsets
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.inspection import efi, firmware
from fwbuild.kernel.decompress import compression
from fwbuild.protocols import identify, ways
from fwbuild.protocols.pvh import BANNER
from fwbuild.protocols.report import KINDS, Problem, Report

BOOT_FLAG_AT = offsets(linux_boot.SETUP_HEADER)["boot_flag"]
BOOT_FLAG = linux_boot.BOOT_FLAG.to_bytes(2, "little")
KERNELS = "give a vmlinux, a bzImage, a UKI or a Multiboot kernel"
TOOLS = {"lzo": "lzop"}  # the others are called like the format


def inspect(data: bytes, path: Path) -> Report:
    """The report on a file; `path` is its name. Raises FwbuildError for one that is neither a
    kernel nor a firmware image."""
    if not data:
        what, hint = "the file is empty", "copy the file again"
        raise FwbuildError(ExitCode.KERNEL, what, where=str(path), hint=hint)
    found = (
        firmware.report(data, path)
        or (ways.report(data, str(path)) if identify(data) else None)
        or efi.report(data)  # a part of one may have a header of Multiboot 2
        or ways.report(data, str(path))
        or _compressed(data)
    )
    if not found:
        what, hint = _no_kernel(data)
        raise FwbuildError(ExitCode.KERNEL, what, where=str(path), hint=hint)
    found.size = len(data)
    return found


def _no_kernel(data: bytes) -> tuple[str, str]:
    """What people take for a kernel, and what to do instead."""
    if data[BOOT_FLAG_AT : BOOT_FLAG_AT + len(BOOT_FLAG)] == BOOT_FLAG:
        return (
            "a boot sector, not a kernel",
            "a PC BIOS starts it, as a disk: QEMU's default, -drive",
        )
    if BANNER.search(data):
        what = "Linux without its ELF header, which says where it is loaded"
        return what, "give the vmlinux that objcopy made it of, or the bzImage"
    what = "neither a kernel nor a firmware image"
    return what, f"QEMU would take it for a kernel older than boot protocol 2.00; {KERNELS}"


def _compressed(data: bytes) -> Report | None:
    name = compression(data)
    if not name:
        return None
    tool = TOOLS.get(name, name)
    problem = Problem(f"QEMU unpacks no {name} file", f"{tool} -dc FILE > KERNEL")
    return Report("compressed", f"{name} file", facts={"compression": name}, problems=[problem])


__all__ = ["KERNELS", "KINDS", "Report", "inspect"]
