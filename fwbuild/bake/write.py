"""The files of a baked guest: RAM, firmware, and what starts them.

All are functions of the guest alone: no path, no clock, no host name.
"""

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any, BinaryIO

from fwbuild.abi.x86 import PAGE
from fwbuild.bake.plan import Plan
from fwbuild.documents import render
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import Content, write_all
from fwbuild.guest import RAM_FILE, Guest
from fwbuild.image.build import Image
from fwbuild.qemu.command import FROM_FILE, memory_file, opens_read_only, size_text
from fwbuild.version import __version__

TEMPLATE = "baked"  # of its image, but for the machine
BIOS_FILE = "bios.bin"
QEMU_FILE = "qemu.json"
DESCRIPTION = "bake.json"
ZEROS = bytes(PAGE)


def write(plan: Plan, image: Image, out: Path) -> dict[str, Any]:
    """Write a baked guest into the folder `out`: all of it or nothing. Returns the description,
    as bake.json has it. Raises FwbuildError for a folder that holds something else."""
    if out.is_dir() and any(out.iterdir()) and not (out / DESCRIPTION).is_file():
        what = "there is something else in it"
        raise FwbuildError(ExitCode.INPUT, what, where=str(out), hint="name an empty folder")
    guest = plan.guest
    once = image.template.values["stop"] == "reset"
    options = qemu_options(guest, once=once)
    plain = {
        "fwbuild": __version__,
        "machine": guest.machine,
        "memory": guest.memory,
        "smp": guest.smp,
        "append": guest.append,
        "pieces": [
            {"address": p.address, "size": p.size, "sha256": p.sha256()} for p in plan.pieces
        ],
        "image": hashlib.sha256(image.image).hexdigest(),
    }
    contents: dict[Path, Content] = {
        out / RAM_FILE: lambda file: _write_ram(plan, file),
        out / BIOS_FILE: image.image,
        out / QEMU_FILE: _json({"options": options}),
        out / "options": (shlex.join(options) + "\n").encode(),
        out / "libvirt.xml": _libvirt(guest, once=once).encode(),
        out / DESCRIPTION: _json(plain),
    }
    write_all(contents)
    return plain


def qemu_options(guest: Guest, *, once: bool) -> list[str]:
    """QEMU's options for a baked guest, with paths relative to its folder. Those that the QEMU on
    this machine does not have are left out. `once` is whether QEMU ends at the guest's reset: the
    firmware would stop there by another one, and so for ever."""
    words = ["-M", f"{guest.machine},{FROM_FILE}", "-m", size_text(guest.memory)]
    words += ["-object", _memory(guest, Path())]
    words += ["-smp", str(guest.smp)] if guest.smp > 1 else []
    words += ["-no-reboot"] if once else []
    return [*words, "-bios", BIOS_FILE]


def _libvirt(guest: Guest, *, once: bool) -> str:
    """A domain, with DIR for the folder's path."""
    properties = ",".join([FROM_FILE, *guest.machine.split(",")[1:]])
    words = ["-object", _memory(guest, Path("DIR")), "-machine", properties]
    return render("libvirt.xml.j2", guest=guest, words=words, once=once)


def _memory(guest: Guest, folder: Path) -> str:
    return memory_file(folder / RAM_FILE, guest.memory, read_only=opens_read_only())


def _json(plain: dict[str, Any]) -> bytes:
    return (json.dumps(plain, indent=1) + "\n").encode()


def _write_ram(plan: Plan, file: BinaryIO) -> None:
    """The RAM file: only pages that hold something take room."""
    file.truncate(plan.guest.memory)
    for piece in plan.pieces:
        view, at = piece.content, 0
        while at < len(view):
            length = min(PAGE - (piece.address + at) % PAGE, len(view) - at)
            if view[at : at + length] != ZEROS[:length]:
                file.seek(piece.address + at)
                file.write(view[at : at + length])
            at += length
