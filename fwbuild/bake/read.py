"""A baked guest's folder, made here or found, as a Guest."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from fwbuild.bake.plan import plan
from fwbuild.bake.write import DESCRIPTION, TEMPLATE, write
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import UNREADABLE, read_file
from fwbuild.guest import RAM_FILE, Guest
from fwbuild.image.build import build_image
from fwbuild.kernel.placed import PIECE
from fwbuild.protocols.preloaded import AGAIN, read_record


def baked_guest(folder: Path, guest: Guest) -> Guest:
    """`guest` with machine type and memory of the baked guest in a folder, and with its CPUs unless
    there are several already. Raises FwbuildError for another folder, and for one whose RAM file no
    guest may use."""
    described = _described(folder / DESCRIPTION)
    smp = guest.smp if guest.smp > 1 else described["smp"]
    found = replace(guest, baked=folder, **described | {"smp": smp})
    read_record(folder / RAM_FILE, found.memory)
    return found


def _described(path: Path) -> dict[str, Any]:
    """Machine type, memory and CPUs in a description. Raises FwbuildError for none."""
    try:
        plain = json.loads(read_file(path))
        machine, *numbers = plain["machine"], plain["memory"], plain["smp"]
        whole = all(type(number) is int and number > 0 for number in numbers)
        if isinstance(machine, str) and "\0" not in machine and whole:
            return {"machine": machine, "memory": plain["memory"], "smp": plain["smp"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        pass  # as for one that has other values
    raise _undescribed(path)


def _undescribed(path: Path) -> FwbuildError:
    what = "it does not describe a baked guest"
    return FwbuildError(ExitCode.INPUT, what, where=str(path), hint=AGAIN)


def check_pieces(folder: Path) -> None:
    """Raise the error of a RAM file that no longer holds what was baked."""
    path = folder / DESCRIPTION
    where = str(folder / RAM_FILE)
    try:
        pieces = [
            (int(p["address"]), int(p["size"]), p["sha256"])
            for p in json.loads(read_file(path))["pieces"]
        ]
        if any(at < 0 or size < 0 for at, size, _ in pieces):
            raise _undescribed(path)
        with (folder / RAM_FILE).open("rb") as file:
            wrong = [at for at, size, wanted in pieces if _sha256(file, at, size) != wanted]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise _undescribed(path) from None
    except OSError as error:
        what = f"{UNREADABLE}: {error.strerror}"
        raise FwbuildError(ExitCode.INPUT, what, where=where, hint=AGAIN) from None
    if wrong:
        what = f"what lies at {wrong[0]:#x} is not what was baked"
        raise FwbuildError(ExitCode.INPUT, what, where=where, hint=AGAIN)


def _sha256(file: BinaryIO, at: int, size: int) -> str:
    found = hashlib.sha256()
    file.seek(at)
    while piece := file.read(min(PIECE, size)):
        found.update(piece)
        size -= len(piece)
    return found.hexdigest()


def bake(guest: Guest, folder: Path, modules: Sequence[Path] = ()) -> Guest:
    """The same guest from a RAM file in `folder`, which is made. Raises FwbuildError for what
    cannot be baked."""
    write(plan(guest, modules), build_image(TEMPLATE, machines=[guest.family.name]), folder)
    return baked_guest(folder, replace(guest, kernel=None, initrd=None, append=""))
