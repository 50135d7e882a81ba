"""Take the vmlinux out of a bzImage (/boot/vmlinuz-...), whatever its compression."""

import argparse
from pathlib import Path

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.image.artefacts import write_all
from fwbuild.kernel.bzimage import extract_vmlinux
from fwbuild.kernel.vmlinux import parse_vmlinux

HELP = "take the vmlinux out of a bzImage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("vmlinuz", type=Path, metavar="VMLINUZ")
    parser.add_argument("--out", type=Path, default=Path("vmlinux"), metavar="VMLINUX",
                        help="default: %(default)s")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    compression, vmlinux = extract_vmlinux(args.vmlinuz)
    write_all({args.out: vmlinux})
    try:
        note = f"PVH entry {parse_vmlinux(vmlinux, str(args.out)).entry:#x}"
    except FwbuildError as error:
        note = f"not bootable by PVH: {error.what}"
    print(f"{args.out}: {len(vmlinux)} bytes from {compression}, {note}")
    return int(ExitCode.OK)
