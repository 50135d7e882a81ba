"""Take the vmlinux out of a bzImage (/boot/vmlinuz-...), whatever its compression. Of a unified
kernel image (UKI) the parts are written, too: VMLINUX.linux, .initrd, .cmdline and others."""

import argparse
import json
from pathlib import Path

from fwbuild.errors import ExitCode
from fwbuild.files import check_name, read_file, write_all
from fwbuild.kernel.bzimage import extract_from, is_bzimage
from fwbuild.kernel.uki import KERNEL, is_efi, read_uki
from fwbuild.kernel.vmlinux import pvh_problem
from fwbuild.verbs.paths import file_name
from fwbuild.verbs.printing import Working

HELP = "take the vmlinux out of a bzImage, or a UKI apart"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("vmlinuz", type=file_name, metavar="VMLINUZ", help="a bzImage or a UKI")
    parser.add_argument(
        "--out",
        type=file_name,
        default=Path("vmlinux"),
        metavar="VMLINUX",
        help="where the vmlinux goes; default: %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="print JSON (keys: docs/json.md)")


def run(args: argparse.Namespace) -> int:
    check_name(args.out)
    data = read_file(args.vmlinuz)
    parts: dict[str, bytes] = {}
    if is_efi(data) and not is_bzimage(data):
        parts = read_uki(data, args.vmlinuz).parts
        data = parts[KERNEL]
    with Working(f"unpacking {args.vmlinuz}"):
        compression, vmlinux, elf = extract_from(data, args.vmlinuz)
    files = {name: args.out.with_name(args.out.name + name) for name in parts}
    write_all({args.out: vmlinux} | {files[name]: parts[name] for name in parts})
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
                }
                | ({"parts": {n[1:]: str(path) for n, path in files.items()}} if files else {}),
                indent=1,
            )
        )
        return int(ExitCode.OK)
    if problem:
        what, hint = problem
        note = f"not bootable by PVH: {what} (hint: {hint})"
    else:
        note = f"PVH entry {elf.pvh_qemu:#x}"
    for name, path in files.items():
        print(f"{path}: {len(parts[name])} bytes, the section {name}")
    print(f"{args.out}: {len(vmlinux)} bytes from {compression}, {elf.bits}-bit, {note}")
    return int(ExitCode.OK)
