"""Save what a real QEMU offers a guest through fw_cfg and PCI, without running guest code."""

import argparse
from pathlib import Path

from fwbuild.errors import ExitCode
from fwbuild.files import write_all
from fwbuild.qemu.record import record
from fwbuild.verbs.guest_options import add_guest_arguments, add_qemu_argument, guest_from

HELP = "record what QEMU offers through fw_cfg and PCI"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_guest_arguments(parser, kernel="none")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the recording, as JSON; required"
    )
    add_qemu_argument(parser)


def run(args: argparse.Namespace) -> int:
    recording = record(guest_from(args))
    write_all({args.out: recording.to_json().encode()})
    print(
        f"{args.out}: QEMU {recording.qemu}, {len(recording.files)} files, "
        f"{len(recording.pci)} PCI functions"
    )
    return int(ExitCode.OK)
