"""Debug the firmware with gdb: QEMU stopped at the reset vector, source lines, and the right
disassembly in each mode of the CPU. QEMU gets everything after `--` as it is."""

import argparse
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from fwbuild.api import build
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import data_dir, is_file, read_file
from fwbuild.gdb import session, symbols
from fwbuild.gdb.script import Script
from fwbuild.guest import Guest
from fwbuild.image import artefacts
from fwbuild.payloads.test_kernel import with_test_kernel
from fwbuild.qemu.command import command
from fwbuild.verbs.guest_options import (
    add_guest_arguments,
    add_image_arguments,
    add_qemu_argument,
    check_files,
    image_from,
)
from fwbuild.verbs.paths import file_name
from fwbuild.verbs.run_kernel import chosen_guest, without_s3

HELP = "debug the firmware with gdb, from the reset vector on"
SAID = "its own words are above"
SCRIPT, ELF = "session.gdb", "bios.elf"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", nargs="?", type=file_name, metavar="KERNEL", help="the kernel; the same as --kernel"
    )
    parser.add_argument(
        "--at",
        metavar="PLACE",
        help="run to a routine (pvh_enter), a label in one (main:.acpi), an address (0x9f600) or a "
        "symbol of the kernel (start_kernel); "
        "default: stay at the reset vector",
    )
    parser.add_argument(
        "--ex",
        action="append",
        default=[],
        metavar="COMMAND",
        help="a gdb command to begin with; repeatable; default: none",
    )
    parser.add_argument("--batch", action="store_true", help="end after the --ex commands")
    parser.add_argument(
        "--wait",
        action="store_true",
        help="start no gdb: print the command that attaches one, and wait for it until Ctrl-C",
    )
    parser.add_argument("--gdb", metavar="PATH", help="the gdb to use; default: by PATH")
    add_image_arguments(parser)
    add_guest_arguments(parser)
    add_qemu_argument(parser)


def run(args: argparse.Namespace) -> int:
    if args.file and args.kernel:
        raise FwbuildError(
            ExitCode.USAGE, "two kernels", where=str(args.file), hint="leave out --kernel"
        )
    args.kernel = args.kernel or args.file
    if args.wait and (args.batch or args.ex):
        raise FwbuildError(
            ExitCode.USAGE, "--wait starts no gdb", hint="leave out --batch and --ex"
        )
    gdb = session.NAME if args.wait else session.find(args.gdb)
    check_files(args.kernel)
    image, elf = _image(args)
    with session.folder() as folder:
        guest, kernel = chosen_guest(args, folder, pvh=False)
        places = symbols.places(elf) if args.at and elf else {}
        stops = symbols.find(args.at, places, kernel) if args.at else ()
        guest = without_s3(guest, kernel)
        guest = with_test_kernel(replace(guest, extra=(*guest.extra, *args.after)), folder)
        bios, script = folder / "bios.bin", folder / SCRIPT
        bios.write_bytes(image)
        if elf:
            (folder / ELF).write_bytes(elf)
        text = Script(
            elf=folder / ELF if elf else None,
            asm=data_dir("asm"),
            kernel=_with_symbols(guest),
            socket=folder / session.SOCKET,
            stops=stops,
        ).text()
        script.write_text(text, encoding="utf-8")
        with session.listening(command(guest, bios=bios), folder / session.SOCKET):
            if args.wait:
                return _wait(script)
            extra = [word for line in args.ex for word in ("-ex", line)]
            batch = ["-batch"] if args.batch else []
            status = session.run_gdb([gdb, "-q", *batch, "-x", str(script), *extra])
    if status:
        raise FwbuildError(ExitCode.QEMU, _ending(status), hint=SAID)
    return int(ExitCode.OK)


def _image(args: argparse.Namespace) -> tuple[bytes, bytes | None]:
    """The image, and the ELF with its symbols; None where there is none of this image."""
    if not args.bios:
        built = build(args.template)
        return built.image, artefacts.elf(built)
    image, beside = image_from(args), args.bios.with_suffix(".elf")
    if is_file(beside) and symbols.belongs(elf := read_file(beside), image):
        return image, elf
    print(f"fwbuild: no symbols: {beside} is not there, or another image's", file=sys.stderr)
    return image, None


def _with_symbols(guest: Guest) -> Path | None:
    """The guest's kernel, if gdb can read symbols from it."""
    kernel = guest.kernel
    return kernel if kernel and symbols.has_symbols(read_file(kernel)) else None


def _wait(script: Path) -> int:
    """Until Ctrl-C, which is the end that the user wants."""
    print(f"{session.NAME} -x {script}", flush=True)
    with suppress(KeyboardInterrupt):
        while True:
            signal.pause()
    return int(ExitCode.OK)


def _ending(status: int) -> str:
    """gdb's exit status in words."""
    if status < 0:
        return f"gdb was ended by a signal: {signal.Signals(-status).name}"
    return f"gdb ended with status {status}"
