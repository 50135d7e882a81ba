"""Boot a kernel with the image in QEMU, the guest's serial port on this terminal. QEMU gets
everything after `--` as it is."""

import argparse
import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from fwbuild.abi import ports
from fwbuild.bake.write import BIOS_FILE
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import test_kernel
from fwbuild.guest import Guest
from fwbuild.payloads.test_kernel import with_test_kernel
from fwbuild.qemu.command import command
from fwbuild.qemu.ending import How
from fwbuild.qemu.monitor import monitor_arguments, remove_socket
from fwbuild.qemu.program import program
from fwbuild.qemu.terminal import Terminal
from fwbuild.verbs.accelerator import with_accelerator
from fwbuild.verbs.guest_options import (
    add_baked_argument,
    add_guest_arguments,
    add_image_arguments,
    add_qemu_argument,
    image_from,
    regex,
    seconds,
)
from fwbuild.verbs.paths import file_name
from fwbuild.verbs.run_gain import measure_pvh
from fwbuild.verbs.run_hints import hints
from fwbuild.verbs.run_kernel import chosen_guest, without_s3

HELP = "boot the image in QEMU"
VERIFY = "`fwbuild verify` says what the image hands over"
TEST_PASSED = ports.debug_exit_status(test_kernel.EXIT_OK)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", nargs="?", type=file_name, metavar="KERNEL", help="the kernel; the same as --kernel"
    )
    add_image_arguments(parser)
    add_baked_argument(parser)
    add_guest_arguments(parser, runs=True)
    pvh = parser.add_mutually_exclusive_group()
    pvh.add_argument(
        "--no-pvh",
        action="store_true",
        help="boot a bzImage as it is; default: as the vmlinux inside it, if that has a PVH entry",
    )
    pvh.add_argument(
        "--measure-pvh",
        action="store_true",
        help="boot a bzImage in both ways, in turn, print what the vmlinux saves, and stop",
    )
    parser.add_argument(
        "--timeout", type=seconds, metavar="SECONDS", help="end QEMU after so long; default: never"
    )
    parser.add_argument(
        "--expect",
        type=regex,
        metavar="REGEX",
        help="end QEMU, and well, as soon as a line of the serial port has it; "
        "an end without it is exit code 13; default: none",
    )
    parser.add_argument(
        "--guest-status",
        action="store_true",
        help="end with the value that the guest writes to isa-debug-exit, 0 to 127; "
        "default: with 0 whatever it is",
    )
    parser.add_argument(
        "--qmp", type=file_name, metavar="PATH", help="a socket of QEMU's monitor; default: none"
    )
    parser.add_argument(
        "--show-command", action="store_true", help="print QEMU's command line before it starts"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the command for --bios and --kernel, and stop"
    )
    add_qemu_argument(parser)


def run(args: argparse.Namespace) -> int:
    args.kernel = _kernel(args)
    with tempfile.TemporaryDirectory(prefix="fwbuild-") as folder:
        guest = _guest(args, Path(folder))
        if args.dry_run:
            _check_lasting(guest, Path(folder))
            bios = args.bios or args.baked / BIOS_FILE
            print(shlex.join([*command(guest, bios=bios), "-serial", "stdio"]))
            return int(ExitCode.OK)
        bios, console = Path(folder) / "bios.bin", Path(folder) / "console"
        bios.write_bytes(image_from(args))
        if args.measure_pvh:
            measure_pvh(args, guest, bios, Path(folder))
            return int(ExitCode.OK)
        guest = with_test_kernel(guest, Path(folder))
        argv = command(guest, bios=bios, console=console)
        terminal = Terminal(argv, console, args.timeout, args.expect)
        if args.show_command:
            print(shlex.join(terminal.command), file=sys.stderr)
        try:
            end = terminal.run()
        finally:
            if args.qmp:
                remove_socket(args.qmp)
    named = args.kernel or args.baked
    if not named and end.how != How.EXPECTED and end.status != TEST_PASSED:
        raise FwbuildError(ExitCode.QEMU, f"the test kernel failed: {end.line}", hint=VERIFY)
    print(f"fwbuild: {end.line}", file=sys.stderr)
    return end.guest_status if args.guest_status else int(ExitCode.OK)


def _kernel(args: argparse.Namespace) -> Path | None:
    """The kernel that is named, None for the test kernel. Raises the errors of the usage."""
    if args.file and args.kernel:
        raise FwbuildError(
            ExitCode.USAGE, "two kernels", where=str(args.file), hint="leave out --kernel"
        )
    kernel: Path | None = args.kernel or args.file
    if args.dry_run and not ((args.bios and kernel) or args.baked):
        what = f"--dry-run needs --bios{'' if kernel else ' and a kernel'}"
        hint = "what fwbuild makes for one run is gone after it"
        raise FwbuildError(ExitCode.USAGE, what, hint=hint)
    return kernel


def _check_lasting(guest: Guest, scratch: Path) -> None:
    """Raise the error of a dry run whose files lie in a folder that goes after it."""
    if any(path and scratch in path.parents for path in (guest.kernel, guest.initrd)):
        raise FwbuildError(
            ExitCode.USAGE,
            "--dry-run of files that are made for one run",
            hint="`fwbuild extract` writes the parts of a UKI; --no-pvh needs no vmlinux",
        )


def _guest(args: argparse.Namespace, scratch: Path) -> Guest:
    """The guest that runs; what is chosen for it is said on stderr."""
    guest, kernel = chosen_guest(args, scratch, pvh=not args.no_pvh)
    guest = without_s3(guest, kernel)
    monitor = monitor_arguments(args.qmp) if args.qmp else []
    guest = replace(guest, extra=(*guest.extra, *monitor, *args.after))
    guest, accelerator = with_accelerator(guest, args.accel)
    print(f"fwbuild: {program()}, {accelerator}", file=sys.stderr, flush=True)
    for hint in hints(guest, kernel):
        print(f"fwbuild: hint: {hint}", file=sys.stderr, flush=True)
    return guest
