"""The kernel that a verb boots: the parts of a unified kernel image (UKI), for `run` the vmlinux
inside a bzImage, where that has a PVH entry, and what QEMU refuses by the firmware's own loader."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import is_file, read_file, write_all
from fwbuild.firmware import file_names
from fwbuild.firmware.options import BootProtocol
from fwbuild.guest import Guest
from fwbuild.image.identity import read_identity
from fwbuild.image.template import DEFAULT, Template
from fwbuild.inspection import KERNELS, inspect
from fwbuild.kernel.bzimage import is_bzimage
from fwbuild.kernel.multiboot import find_header
from fwbuild.kernel.multiboot2 import find_header2
from fwbuild.kernel.uki import KERNEL, is_efi, read_uki
from fwbuild.kernel.vmlinux_cache import NoVmlinuxError, pvh_vmlinux, remembered
from fwbuild.protocols import BY_NAME, identify, ways
from fwbuild.protocols.kernel_file import check_modules
from fwbuild.protocols.report import Problem, Way
from fwbuild.verbs.guest_options import guest_from
from fwbuild.verbs.printing import Working, printable


def chosen_guest(args: argparse.Namespace, scratch: Path, *, pvh: bool) -> tuple[Guest, bytes]:
    """The guest that a verb makes of its options, as chosen() has it."""
    guest, bios = guest_from(args), args.bios
    image = read_file(bios) if bios and is_file(bios) else b""
    return chosen(guest, [] if bios else [args.template], scratch, pvh=pvh, image=image)


def chosen(
    guest: Guest,
    templates: Sequence[str],
    scratch: Path,
    *,
    pvh: bool = True,
    image: bytes = b"",
) -> tuple[Guest, bytes]:
    """The guest that a verb makes of one, and its kernel's file, b"" without one; each choice is
    said on stderr.

    templates: the images', none where `image` is there before.
    scratch:  a folder for what is made for this run.
    pvh:      whether a bzImage is to be booted as the vmlinux inside it.
    image:    the image, b"" for one that is still to be built."""
    if guest.kernel is None:
        return guest, b""
    found = in_parts(guest, read_file(guest.kernel), scratch)
    if pvh:
        found = as_pvh(*found, templates, scratch, guest.kernel)
    return by_firmware(*found, templates, image, guest.kernel), found[1]


def in_parts(guest: Guest, kernel: bytes, scratch: Path) -> tuple[Guest, bytes]:
    """The guest and its kernel, a UKI replaced by the parts of it, which go to the folder
    `scratch`. The user's own initrd and command line stand. Raises FwbuildError for another EFI
    application."""
    if guest.kernel is None or is_bzimage(kernel) or not is_efi(kernel):
        return guest, kernel
    found = read_uki(kernel, guest.kernel)
    linux, initrd = scratch / "linux", scratch / "initrd"
    write_all({linux: found.parts[KERNEL], initrd: found.initrd})
    append = guest.append or found.text(".cmdline")
    _say(guest.kernel, f"in its parts: {found.system or 'a kernel'}, with '{append}'")
    own = guest.initrd or (initrd if found.initrd else None)
    return replace(guest, kernel=linux, initrd=own, append=append), found.parts[KERNEL]


def as_pvh(
    guest: Guest, kernel: bytes, templates: Sequence[str], scratch: Path, file: Path
) -> tuple[Guest, bytes]:
    """The guest and its kernel, a bzImage replaced by the vmlinux inside it where that boots by
    PVH. `templates` are the images'; `scratch` takes the vmlinux where the user's cache cannot;
    `file` is the user's, which a UKI's kernel has come out of."""
    if guest.kernel is None or not is_bzimage(kernel):
        return guest, kernel
    if problem := _no_pvh(guest, templates):
        _say(file, f"as a bzImage: {problem}")
        return guest, kernel
    start = time.monotonic()
    try:
        with Working(f"unpacking {file}"):
            kept = pvh_vmlinux(kernel, scratch)
    except NoVmlinuxError as error:
        _say(file, f"as a bzImage: {error}")
        return guest, kernel
    how = "kept" if kept.found else f"taken out in {time.monotonic() - start:.1f} s"
    saves = remembered(kept.path, guest.machine) or "--measure-pvh says what it saves"
    _say(file, f"as the vmlinux inside it, by PVH ({how}; {saves}; --no-pvh: as a bzImage)")
    return replace(guest, kernel=kept.path), read_file(kept.path)


def by_firmware(
    guest: Guest,
    kernel: bytes,
    templates: Sequence[str],
    image: bytes = b"",
    file: Path | None = None,
) -> Guest:
    """The guest, its kernel loaded by the firmware where QEMU refuses it and the firmware takes
    it. QEMU has the last word on what neither takes, and on a bzImage. `templates` and `image` are
    as for chosen(), `file` as for as_pvh(). Raises FwbuildError for a Multiboot kernel that both
    refuse, and where the image lacks the loader; and for a file that is no kernel, unless the image
    is another's."""
    if guest.kernel is None or is_bzimage(kernel):
        return guest
    file = file or guest.kernel
    where = str(file)
    found = ways.report(kernel, where, guest.memory)
    if found is None:
        if image and not read_identity(image):
            return guest  # another firmware may start what QEMU takes for a very old kernel
        raise _no_kernel(file, kernel)
    if found.way is Way.KERNEL or found.limited or not found.by_file:
        return guest
    by_file, refused = found.by_file, found.problems[0].what
    if by_file.refusal:
        if find_header2(kernel) is None and find_header(kernel) is None:
            return guest
        raise by_file.refusal
    hint = f"the firmware loads it with `--template {DEFAULT}`"
    lacks = [name for name in templates if not by_file.loaded_by(Template.load(name))]
    if lacks or (image and not loads_files(image)):
        raise FwbuildError(ExitCode.KERNEL, refused, where=where, hint=hint)
    _say(file, f"by the firmware's own loader ({by_file.title}), for QEMU's: {refused}")
    for note in found.notes:
        print(printable(f"fwbuild: note: {note}"), file=sys.stderr, flush=True)
    guest = replace(guest, firmware_loads=True)
    assert by_file.protocol  # what has no refusal has one
    check_modules(guest, BY_NAME[by_file.protocol])
    return guest


def loads_files(image: bytes) -> bool:
    """Whether an image loads kernels from fw_cfg's files: it has the file's name then."""
    return file_names.KERNEL.encode() in image


def without_s3(guest: Guest, kernel: bytes) -> Guest:
    """The guest, but that a vmlinux does not suspend to RAM: it could not wake, since QEMU loads
    its segments again at each reset, and a wake is one. `kernel` is the kernel's file."""
    off, protocol = guest.family.s3_off, identify(kernel)
    if guest.firmware_loads or not off or protocol is None or not protocol.reloaded:
        return guest
    return replace(guest, extra=("-global", off, *guest.extra))


def _no_pvh(guest: Guest, templates: Sequence[str]) -> str:
    """Why nothing boots by PVH with this machine type and image, "" where it does."""
    if not guest.family.loads_pvh(guest.machine_type):
        return f"{guest.machine_type} may not load a vmlinux"
    for name in templates:
        if BootProtocol.PVH not in Template.load(name).words("protocols"):
            return f"the template {name} leaves PVH out"
    return ""


def _no_kernel(path: Path, data: bytes) -> FwbuildError:
    """The error of a file that is no kernel, in the words of `inspect`. Raises its errors."""
    found = inspect(data, path)
    problem = found.problems[0] if found.problems else Problem(f"{found.what}, no kernel", KERNELS)
    return FwbuildError(ExitCode.KERNEL, problem.what, where=str(path), hint=problem.hint)


def _say(kernel: Path, words: str) -> None:
    print(printable(f"fwbuild: {kernel} {words}"), file=sys.stderr, flush=True)
