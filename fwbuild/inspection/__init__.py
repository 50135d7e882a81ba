"""Inspection of a file: its kind, who boots it and how, and why nobody does if so."""

from pathlib import Path

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.inspection import efi, firmware
from fwbuild.kernel.decompress import compression
from fwbuild.protocols import identify
from fwbuild.protocols.report import KINDS, Problem, Report

TOOLS = {"lzo": "lzop"}  # the others are called like the format


def inspect(data: bytes, path: Path) -> Report:
    """The report on a file; `path` is its name. Raises FwbuildError for one that is neither a
    kernel nor a firmware image."""
    if not data:
        what, hint = "the file is empty", "copy the file again"
        raise FwbuildError(ExitCode.KERNEL, what, where=str(path), hint=hint)
    found = firmware.report(data, path)
    if not found and (protocol := identify(data)):
        found = protocol.report(data)
    found = found or efi.report(data) or _compressed(data)
    if not found:
        raise FwbuildError(
            ExitCode.KERNEL,
            "neither a kernel nor a firmware image",
            where=str(path),
            hint="QEMU would take it for a kernel older than boot protocol 2.00",
        )
    found.size = len(data)
    return found


def _compressed(data: bytes) -> Report | None:
    name = compression(data)
    if not name:
        return None
    tool = TOOLS.get(name, name)
    problem = Problem(f"QEMU unpacks no {name} file", f"{tool} -dc FILE > KERNEL")
    return Report("compressed", f"{name} file", facts={"compression": name}, problems=[problem])


__all__ = ["KINDS", "Report", "inspect"]
