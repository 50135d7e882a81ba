"""A baked guest's folder, made here or found, as a Guest."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from fwbuild.bake.plan import plan
from fwbuild.bake.write import DESCRIPTION, TEMPLATE, write
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import read_beside
from fwbuild.guest import RAM_FILE, Guest
from fwbuild.image.build import build_image
from fwbuild.json_text import is_number, parse
from fwbuild.kernel.placed import PIECE
from fwbuild.protocols.preloaded import AGAIN, opened, read_record

DESCRIPTION_MAX = 1 << 20  # bytes; fwbuild's have some KiB
NUMBER_MAX = (1 << 63) - 1  # where the largest file ends


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
    plain = _read(path)
    found = {key: plain.get(key) for key in ("machine", "memory", "smp")}
    machine, *numbers = found.values()
    whole = all(is_number(number, 1, NUMBER_MAX) for number in numbers)
    if isinstance(machine, str) and "\0" not in machine and whole:
        return found
    raise _undescribed(path)


def _read(path: Path) -> dict[str, Any]:
    """The object in a description. Raises FwbuildError for none."""
    text = read_beside(path, DESCRIPTION_MAX)
    with suppress(ValueError):
        plain = parse(text)
        if isinstance(plain, dict):
            return plain
    raise _undescribed(path)


def _undescribed(path: Path) -> FwbuildError:
    what = "it does not describe a baked guest"
    return FwbuildError(ExitCode.INPUT, what, where=str(path), hint=AGAIN)


def check_pieces(folder: Path) -> None:
    """Raise the error of a RAM file that no longer holds what was baked."""
    path = folder / RAM_FILE
    pieces = _pieces(folder / DESCRIPTION)
    with opened(path) as file:
        size = file.seek(0, os.SEEK_END)
        wrong = [at for at, length, _ in pieces if at + length > size]
        if not wrong and sum(length for _, length, _ in pieces) > size:
            raise _undescribed(folder / DESCRIPTION)  # some lie over each other
        if not wrong:
            wrong = [at for at, length, wanted in pieces if _sha256(file, at, length) != wanted]
    if wrong:
        what = f"what lies at {wrong[0]:#x} is not what was baked"
        raise FwbuildError(ExitCode.INPUT, what, where=str(path), hint=AGAIN)


def _pieces(path: Path) -> list[tuple[int, int, str]]:
    """(address, bytes, SHA-256) of what a description says was baked. Raises FwbuildError."""
    rows = _read(path).get("pieces")
    if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        found = [(row.get("address"), row.get("size"), row.get("sha256")) for row in rows]
        numbers = (number for at, size, _ in found for number in (at, size))
        whole = all(is_number(number, 0, NUMBER_MAX) for number in numbers)
        if whole and all(isinstance(text, str) for *_, text in found):
            return found
    raise _undescribed(path)


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
