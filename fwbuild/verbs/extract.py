"""Take the vmlinux out of a bzImage (/boot/vmlinuz-...), whatever its compression."""

import argparse
import json
from pathlib import Path

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import write_all
from fwbuild.kernel.bzimage import extract_vmlinux
from fwbuild.kernel.vmlinux import pvh_problem

HELP = "take the vmlinux out of a bzImage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("vmlinuz", type=Path, metavar="VMLINUZ", help="a bzImage")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("vmlinux"),
        metavar="VMLINUX",
        help="where the vmlinux goes; default: %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="print JSON (keys: docs/json.md)")


def run(args: argparse.Namespace) -> int:
    compression, vmlinux, elf = extract_vmlinux(args.vmlinuz)
    if args.out.exists() and args.out.samefile(args.vmlinuz):
        raise FwbuildError(
            ExitCode.INPUT,
            "would be overwritten by its own vmlinux",
            where=str(args.vmlinuz),
            hint="name another file by --out",
        )
    write_all({args.out: vmlinux})
    problem = pvh_problem(elf)
    if args.json:
        print(
            json.dumps(
                {
                    "out": str(args.out),
                    "size": len(vmlinux),
                    "compression": compression,
                    "bits": elf.bits,
                    "pvh_entry": None if problem else elf.pvh_qemu,
                    "problem": problem[0] if problem else None,
                },
                indent=1,
            )
        )
        return int(ExitCode.OK)
    if problem:
        what, hint = problem
        note = f"not bootable by PVH: {what} (hint: {hint})"
    else:
        note = f"PVH entry {elf.pvh_qemu:#x}"
    print(f"{args.out}: {len(vmlinux)} bytes from {compression}, {elf.bits}-bit, {note}")
    return int(ExitCode.OK)
