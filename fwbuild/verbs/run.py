"""Boot a kernel with the image in QEMU, the guest's serial port on this terminal. QEMU gets
everything after `--` as it is."""

import argparse
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from fwbuild.abi import ports
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import test_kernel
from fwbuild.guest import Guest
from fwbuild.payloads.test_kernel import write_test_kernel
from fwbuild.qemu import complaint
from fwbuild.qemu.command import command
from fwbuild.qemu.ending import Ending, How, ending
from fwbuild.qemu.program import program
from fwbuild.qemu.watch import Watch
from fwbuild.verbs.accelerator import with_accelerator
from fwbuild.verbs.guest_options import (
    add_baked_argument,
    add_guest_arguments,
    add_image_arguments,
    add_qemu_argument,
    guest_from,
    image_from,
)
from fwbuild.verbs.run_kernel import as_pvh, without_s3

HELP = "boot the image in QEMU"
TEST_PASSED = ports.debug_exit_status(test_kernel.EXIT_OK)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="KERNEL", help="the kernel; the same as --kernel"
    )
    add_image_arguments(parser)
    add_baked_argument(parser)
    add_guest_arguments(parser, runs=True)
    parser.add_argument(
        "--no-pvh",
        action="store_true",
        help="boot a bzImage as it is; default: as the vmlinux inside it, if that has a PVH entry",
    )
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="end QEMU after so long; default: never"
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
            print(shlex.join([*command(guest, bios=args.bios), "-serial", "stdio"]))
            return int(ExitCode.OK)
        bios, console = Path(folder) / "bios.bin", Path(folder) / "console"
        bios.write_bytes(image_from(args))
        if not (guest.kernel or guest.baked):
            guest = replace(guest, kernel=write_test_kernel(Path(folder)))
        argv = [*command(guest, bios=bios, console=console), "-serial", "stdio"]
        if args.show_command:
            print(shlex.join(argv), file=sys.stderr)
        end, complaints = _wait(argv, args.timeout, console)
    if end.how == How.FAILURE and (error := complaint.explain(program(), argv, complaints)):
        raise error
    end.check()
    if not (args.kernel or args.baked) and end.status != TEST_PASSED:
        raise FwbuildError(ExitCode.QEMU, f"the test kernel failed: {end.line}")
    print(f"fwbuild: {end.line}", file=sys.stderr)
    return int(ExitCode.OK)


def _kernel(args: argparse.Namespace) -> Path | None:
    """The kernel that is named, None for the test kernel. Raises the errors of the usage."""
    if args.file and args.kernel:
        raise FwbuildError(
            ExitCode.USAGE, "two kernels", where=str(args.file), hint="leave out --kernel"
        )
    kernel: Path | None = args.kernel or args.file
    if args.dry_run and not ((args.bios and kernel) or args.baked):
        raise FwbuildError(
            ExitCode.USAGE,
            "--dry-run needs --bios and --kernel",
            hint="what fwbuild makes for one run is gone after it",
        )
    return kernel


def _guest(args: argparse.Namespace, scratch: Path) -> Guest:
    """The guest that runs; what is chosen for it is said on stderr."""
    guest = guest_from(args)
    if not args.no_pvh:
        guest = as_pvh(guest, None if args.bios else args.template, scratch)
    guest = without_s3(guest)
    guest = replace(guest, extra=(*guest.extra, *args.after))
    guest, accelerator = with_accelerator(guest, args.accel)
    print(f"fwbuild: {program()}, {accelerator}", file=sys.stderr, flush=True)
    return guest


def _wait(argv: list[str], seconds: float | None, console: Path) -> tuple[Ending, str]:
    """How QEMU and its guest ended, and what it said of its command line; the rest it says at
    once."""
    with Watch(argv) as watch:
        process = subprocess.Popen(
            [*argv, *watch.arguments],
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            pass_fds=watch.fds,
        )
        watch.begin()
        late = None
        with process, ThreadPoolExecutor(1) as pool:
            complaints = pool.submit(_pass_on, process)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                late = seconds
            finally:
                process.kill()
        said = console.read_text(errors="replace") if console.exists() else ""
        return ending(process.wait(), watch.events(), said, late), complaints.result()


def _pass_on(process: subprocess.Popen[str]) -> str:
    """Write what QEMU says to stderr, but for what complaint.explain says better."""
    kept = []
    for line in process.stderr or ():
        if complaint.is_about_arguments(line):
            kept.append(line)
        else:
            sys.stderr.write(line)
            sys.stderr.flush()
    return "".join(kept)
