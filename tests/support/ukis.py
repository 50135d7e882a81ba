"""Unified kernel images, made with a library that fwbuild's reader is not made of: objcopy."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.debian import package_file

BASE = 0x14000000  # above the stub's own sections, as ukify's first part
PAGE = 0x1000


def stub() -> Path:
    """systemd's stub, as Debian builds it."""
    return package_file("systemd-boot-efi", "usr/lib/systemd/boot/efi/linuxx64.efi.stub")


def make_uki(folder: Path, parts: Mapping[str, bytes]) -> Path:
    """A UKI with these sections, in a scratch folder."""
    argv, at = ["objcopy"], BASE
    for name, data in parts.items():
        path = folder / f"part{name}"
        path.write_bytes(data)
        argv += ["--add-section", f"{name}={path}", "--set-section-flags", f"{name}=data"]
        argv += ["--change-section-vma", f"{name}={at:#x}"]
        at += -(-len(data) // PAGE) * PAGE
    path = folder / "uki.efi"
    subprocess.run([*argv, str(stub()), str(path)], check=True, capture_output=True)
    return path
