"""Lay a guest out in a RAM file, beside the firmware that starts it by a jump. QEMU reads no kernel
then and copies none, and guests of one file share what they do not change."""

import argparse
import json
import shlex
from pathlib import Path

from fwbuild.api import build
from fwbuild.bake.plan import plan
from fwbuild.bake.write import TEMPLATE, write
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import Guest
from fwbuild.image.template import parse_settings
from fwbuild.sizes import MIB
from fwbuild.verbs.guest_options import (
    add_kernel_arguments,
    add_machine_argument,
    add_qemu_argument,
    check_files,
)
from fwbuild.verbs.paths import file_name
from fwbuild.verbs.printing import Working

HELP = "lay a guest out in a RAM file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "modules",
        nargs="*",
        type=file_name,
        metavar="MODULE",
        help="a module that follows the initrd; default: none",
    )
    parser.add_argument(
        "--out",
        type=file_name,
        default=Path("baked"),
        metavar="DIR",
        help="the folder that it goes into; default: %(default)s",
    )
    add_machine_argument(add_kernel_arguments(parser, "none, it has to be named", multiboot=False))
    parser.add_argument(
        "--template",
        default=TEMPLATE,
        metavar="NAME",
        help="a template or a TOML file whose protocol is preloaded; default: %(default)s",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a key of the template; repeatable; default: none",
    )
    parser.add_argument("--json", action="store_true", help="print JSON (keys: docs/json.md)")
    add_qemu_argument(parser, "the QEMU whose options are written; default: by")


def run(args: argparse.Namespace) -> int:
    if args.kernel is None:
        what = "no kernel"
        raise FwbuildError(ExitCode.USAGE, what, where="--kernel", hint="name the one to bake")
    check_files(args.kernel, args.initrd, *args.modules)
    guest = Guest(args.machine, args.memory, args.smp, args.kernel, args.initrd, args.append)
    with Working("assembling the image"):
        image = build(args.template, machines=[guest.family.name], **parse_settings(args.set))
    if image.template.words("protocols") != ("preloaded",):
        what = "its protocol is not preloaded"
        hint = f"extend {TEMPLATE}, or leave it out"
        raise FwbuildError(ExitCode.TEMPLATE, what, where=args.template, hint=hint)
    with Working(f"laying out {args.out}"):
        plain = write(plan(guest, args.modules), image, args.out)
    if args.json:
        print(json.dumps(plain, indent=1))
    else:
        held = sum(piece["size"] for piece in plain["pieces"])
        print(f"{args.out}: {held / MIB:.1f} MiB in {guest.memory // MIB} MiB of RAM")
        folder = shlex.quote(str(args.out))
        print(f"start it by: cd {folder} && qemu-system-x86_64 $(cat options) -nographic")
    return int(ExitCode.OK)
