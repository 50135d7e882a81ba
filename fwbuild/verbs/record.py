"""Save what a real QEMU offers a guest through fw_cfg and PCI, without running guest code."""

import argparse
import json

from fwbuild.errors import ExitCode
from fwbuild.files import write_all
from fwbuild.qemu.record import record
from fwbuild.verbs.guest_options import add_guest_arguments, add_qemu_argument, guest_from
from fwbuild.verbs.paths import file_name
from fwbuild.verbs.printing import Working

HELP = "record what QEMU offers through fw_cfg and PCI"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_guest_arguments(parser, kernel="none")
    parser.add_argument(
        "--out",
        type=file_name,
        required=True,
        metavar="FILE",
        help="the recording, as JSON; required",
    )
    parser.add_argument("--json", action="store_true", help="print JSON (keys: docs/json.md)")
    add_qemu_argument(parser)


def run(args: argparse.Namespace) -> int:
    guest = guest_from(args)
    with Working("asking QEMU what it offers"):
        recording = record(guest)
    write_all({args.out: recording.to_json().encode()})
    if args.json:
        counts = {"files": len(recording.files), "pci": len(recording.pci)}
        print(json.dumps({"out": str(args.out), "qemu": recording.qemu, **counts}, indent=1))
        return int(ExitCode.OK)
    print(
        f"{args.out}: QEMU {recording.qemu}, {len(recording.files)} files, "
        f"{len(recording.pci)} PCI functions"
    )
    return int(ExitCode.OK)
