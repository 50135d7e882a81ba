"""Boot the image in QEMU, the guest's serial port on this terminal."""

import argparse
import re
import shlex
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

from fwbuild.abi import ports
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import stop_codes, test_kernel
from fwbuild.image.test_kernel import build_test_kernel
from fwbuild.qemu.command import command
from fwbuild.verbs.guest_options import (
    add_guest_arguments,
    add_image_arguments,
    guest_from,
    image_from,
)

HELP = "boot the image in QEMU"
QEMU_FAILED = 1  # QEMU's own exit status after it has said what is wrong
STOP_LINE = re.compile(r"fwbuild: ([0-9a-f]{2}) ")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_image_arguments(parser)
    add_guest_arguments(parser)
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="end QEMU after so long; default: never"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the command for --bios and --kernel, and stop"
    )


def run(args: argparse.Namespace) -> int:
    guest = guest_from(args)
    if args.dry_run:
        if not (args.bios and args.kernel):
            raise FwbuildError(
                ExitCode.USAGE,
                "--dry-run needs --bios and --kernel",
                hint="what fwbuild makes for one run is gone after it",
            )
        print(shlex.join([*command(guest, bios=args.bios), "-serial", "stdio"]))
        return int(ExitCode.OK)
    with tempfile.TemporaryDirectory(prefix="fwbuild-") as folder:
        bios, console = Path(folder) / "bios.bin", Path(folder) / "console"
        bios.write_bytes(image_from(args))
        if guest.kernel is None:
            guest = replace(guest, kernel=Path(folder) / "test-kernel.elf")
            assert guest.kernel is not None
            guest.kernel.write_bytes(build_test_kernel())
        argv = [*command(guest, bios=bios, console=console), "-serial", "stdio"]
        status = _wait(argv, args.timeout)
        stop = STOP_LINE.search(console.read_text(errors="replace") if console.exists() else "")
    found = stop_codes.BY_CODE.get(int(stop[1], 16)) if stop else None
    # a guest may print such a line too, but then QEMU does not end with that code
    if found and status == ports.debug_exit_status(found.code):
        raise FwbuildError(ExitCode.STOPPED, f"the firmware stopped: {found.what}", hint=found.hint)
    if args.kernel is None:
        wrong = status != ports.debug_exit_status(test_kernel.EXIT_OK)
    else:
        wrong = status == QEMU_FAILED or status < 0  # below 0: ended by a signal
    if wrong:
        raise FwbuildError(ExitCode.QEMU, f"QEMU ended with status {status}")
    return int(ExitCode.OK)


def _wait(argv: list[str], seconds: float | None) -> int:
    try:
        return subprocess.run(argv, timeout=seconds, check=False).returncode
    except subprocess.TimeoutExpired:
        raise FwbuildError(ExitCode.QEMU, f"QEMU was ended after {seconds} s") from None
