"""Take the vmlinux out of a bzImage (/boot/vmlinuz-...), whatever its compression."""

import argparse
from pathlib import Path

from fwbuild.emulator.loader import load_kernel
from fwbuild.errors import ExitCode
from fwbuild.image.artefacts import write_all
from fwbuild.kernel.bzimage import extract_vmlinux

HELP = "take the vmlinux out of a bzImage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("vmlinuz", type=Path, metavar="VMLINUZ")
    parser.add_argument("--out", type=Path, default=Path("vmlinux"), metavar="VMLINUX",
                        help="default: %(default)s")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    compression, vmlinux = extract_vmlinux(args.vmlinuz)
    loaded = load_kernel(vmlinux, str(args.vmlinuz))  # says so where there is no PVH note
    write_all({args.out: vmlinux})
    print(f"{args.out}: {len(vmlinux)} bytes from {compression}, PVH entry {loaded.entry:#x}")
    return int(ExitCode.OK)
