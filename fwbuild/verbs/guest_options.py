"""The options that describe a guest, in QEMU's own vocabulary, for every verb that takes one."""

import argparse
import math
import re
from functools import partial
from pathlib import Path

from fwbuild.api import build
from fwbuild.bake.read import baked_guest
from fwbuild.bake.write import BIOS_FILE
from fwbuild.emulator.recording_check import MEMORY_MAX
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import RIGHTS, UNREADABLE, is_file, read_file, why_no_file
from fwbuild.firmware.layout import IMAGE_SIZE
from fwbuild.guest import Guest
from fwbuild.image import template
from fwbuild.inputs import note_input
from fwbuild.machines import ACCEL, ACCELERATORS, without_accelerator
from fwbuild.qemu.command import size_text
from fwbuild.qemu.program import VARIABLE
from fwbuild.sizes import GIB, KIB, MIB, align_up
from fwbuild.verbs.paths import file_name
from fwbuild.verbs.printing import Working

FURTHER = ("device", "object", "blockdev", "netdev")  # QEMU's options that add devices
MEMORY_UNIT = 8 * KIB  # to which QEMU rounds -m up (softmmu/vl.c)
SECONDS_MAX = 2_000_000  # three weeks; what the system waits for is 2^31 ms at most
UNITS = {"": MIB, "K": KIB, "M": MIB, "G": GIB, "T": 1 << 40}


def memory_size(text: str) -> int:
    """QEMU's -m: a number of MiB, or with a suffix K, M, G or T. Bytes, as many as QEMU gives."""
    match = re.fullmatch(r"(\d+)([KMGT]?)", text.upper())
    if not match or int(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a memory size; say 512M or 2G")
    size = align_up(int(match[1]) * UNITS[match[2]], MEMORY_UNIT)
    if size > MEMORY_MAX:
        raise argparse.ArgumentTypeError(f"'{text}' is more memory than a PC has addresses for")
    return size


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return int(text)


def seconds(text: str) -> float:
    """A time that passes."""
    try:
        found = float(text)
    except ValueError:
        found = 0
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is not a time; say 30 or 0.5")
    if found > SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"'{text}' is more than {SECONDS_MAX} seconds")
    return found


def regex(text: str) -> str:
    """A regular expression."""
    try:
        re.compile(text)
    except (re.error, OverflowError) as error:
        what = str(error)
    except RecursionError:
        what = "nested too deep"
    else:
        return text
    raise argparse.ArgumentTypeError(f"'{text}' is no regular expression: {what}")


def add_guest_arguments(
    parser: argparse.ArgumentParser, kernel: str = "a test kernel", *, runs: bool = False
) -> None:
    """One guest: add_kernel_arguments, -M, --accel and the options that add devices. `kernel`
    names the verb's default kernel; `runs` is whether the verb runs it."""
    group = add_kernel_arguments(parser, kernel)
    add_machine_argument(group)
    offers = "the accelerator of QEMU; verify takes what QEMU offers under it"
    choose = "auto: KVM where a guest has run under it, else TCG"
    group.add_argument(
        "--accel",
        choices=("auto", "kvm", "tcg") if runs else ACCELERATORS,
        default="auto" if runs else None,
        help=f"{choose if runs else offers}; default: {'auto' if runs else '-M, else tcg'}",
    )
    for name in FURTHER:
        group.add_argument(
            f"--{name}",
            type=partial(_further, name),
            action="append",
            dest="extra",
            default=[],
            metavar=name.upper(),
            help=f"QEMU's -{name}; repeatable; default: none",
        )


def add_machine_argument(group: argparse._ArgumentGroup) -> None:
    """-M."""
    group.add_argument(
        "-M",
        "--machine",
        default="microvm",
        metavar="TYPE",
        help="QEMU's machine type, with its properties; default: %(default)s",
    )


def _further(name: str, value: str) -> tuple[str, str]:
    return f"-{name}", value


def add_kernel_arguments(
    parser: argparse.ArgumentParser, kernel: str = "a test kernel", *, multiboot: bool = True
) -> argparse._ArgumentGroup:
    """--kernel, --initrd, --append, -m and --smp, which hold on any machine; `multiboot` is whether
    the kernel may be one of Multiboot. Returns the group, so that a verb can add to it."""
    kinds = "a vmlinux, bzImage or Multiboot kernel" if multiboot else "a vmlinux or bzImage"
    modules = ", or a Multiboot kernel's modules as `FILE ARGUMENTS,FILE ARGUMENTS`"
    group = parser.add_argument_group("the guest, in QEMU's words")
    group.add_argument(
        "--kernel",
        type=file_name,
        metavar="FILE",
        help=f"{kinds}; default: {kernel}",
    )
    group.add_argument(
        "--initrd",
        type=file_name,
        metavar="FILE",
        help=f"an initial RAM disk{modules if multiboot else ''}; default: none",
    )
    group.add_argument(
        "--append", default="", metavar="CMDLINE", help="the kernel's command line; default: empty"
    )
    add_size_arguments(group)
    return group


def add_size_arguments(group: argparse._ArgumentGroup) -> None:
    """-m and --smp."""
    group.add_argument(
        "-m",
        "--memory",
        type=memory_size,
        default="512M",
        metavar="SIZE",
        help="RAM in MiB, or with a suffix K, M, G or T; default: %(default)s",
    )
    group.add_argument(
        "--smp", type=positive, default=1, metavar="N", help="number of CPUs; default: %(default)s"
    )


def add_qemu_argument(
    parser: argparse._ActionsContainer, help_text: str = "the QEMU to use; default: by"
) -> None:
    """--qemu: which QEMU; fwbuild.cli sees to it."""
    parser.add_argument(
        "--qemu",
        metavar="PATH",
        help=f"{help_text} {VARIABLE} in the environment, else by PATH",
    )


def add_template_argument(
    parser: argparse._ActionsContainer, help_text: str = "a template or a TOML file"
) -> None:
    """--template: which image is built."""
    parser.add_argument(
        "--template",
        default=template.DEFAULT,
        metavar="NAME",
        help=f"{help_text}; default: %(default)s",
    )


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """--bios or --template: which image."""
    group = parser.add_argument_group("the image").add_mutually_exclusive_group()
    group.add_argument("--bios", type=file_name, metavar="IMG", help="a built image; default: none")
    add_template_argument(group, "a template or a TOML file, built now")


def add_baked_argument(parser: argparse.ArgumentParser) -> None:
    """--baked: a guest that needs no kernel."""
    parser.add_argument(
        "--baked",
        type=file_name,
        metavar="DIR",
        help="a guest that `fwbuild bake` made, with its machine type, memory and image; --append "
        "adds to its command line; default: none",
    )


def check_files(*paths: Path | None) -> None:
    """Raise the error of a file that is not there, or none that can be read twice: QEMU reads it,
    too."""
    for path in paths:
        if path and (what := why_no_file(path)):
            hint = RIGHTS if what.startswith(UNREADABLE) else "give another file"
            raise FwbuildError(ExitCode.INPUT, what, where=str(path), hint=hint)
        if path:
            note_input(path)


def check_initrd(initrd: Path | None) -> None:
    """Raise the error of an initrd that is neither a file nor a list of modules."""
    if initrd and is_file(initrd):
        check_files(initrd)
    elif initrd:
        check_files(*(Path(file) for file, _ in Guest(initrd=initrd).modules))


def guest_from(args: argparse.Namespace) -> Guest:
    """The guest that the options describe; its files are checked to be there."""
    machine, accel = args.machine, args.accel
    if accel is None:
        machine, named = without_accelerator(machine)
        accel = named or ("" if ACCEL in machine else Guest().accel)
    guest = Guest(
        machine,
        args.memory,
        args.smp,
        args.kernel,
        args.initrd,
        args.append,
        accel,
        tuple(word for pair in args.extra for word in pair),
    )
    check_files(guest.kernel)
    check_initrd(guest.initrd)
    folder = getattr(args, "baked", None)
    if folder and (guest.kernel or guest.initrd):
        raise FwbuildError(
            ExitCode.USAGE, "a baked guest has its kernel", hint="leave out --kernel and --initrd"
        )
    return _baked(folder, guest) if folder else guest


def _baked(folder: Path, guest: Guest) -> Guest:
    """The baked guest in a folder. Raises the error of options that name another machine or memory;
    the default ones name none."""
    found, usual = baked_guest(folder, guest), Guest()
    machines, sizes = (usual.machine, found.machine), (usual.memory, found.memory)
    if guest.machine not in machines or guest.memory not in sizes:
        what = f"it is baked for -M {found.machine} -m {size_text(found.memory)}"
        hint = "leave out -M and -m, or bake another one"
        raise FwbuildError(ExitCode.USAGE, what, where=str(folder), hint=hint)
    return found


def image_from(args: argparse.Namespace) -> bytes:
    """The image's bytes."""
    folder = getattr(args, "baked", None)
    if folder and args.template != template.DEFAULT:
        what, hint = "a baked guest has its image", "leave out --template; `fwbuild bake` has one"
        raise FwbuildError(ExitCode.USAGE, what, hint=hint)
    path = args.bios or (folder / BIOS_FILE if folder else None)
    if not path:
        with Working("assembling the image"):
            return build(args.template).image
    data = read_file(path)
    if not data or len(data) % IMAGE_SIZE:
        raise FwbuildError(
            ExitCode.INPUT,
            f"{len(data)} bytes are not an image",
            where=str(path),
            hint=f"QEMU takes multiples of {IMAGE_SIZE}",
        )
    return data
