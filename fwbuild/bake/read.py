"""A baked guest's folder, made here or found, as a Guest."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fwbuild.bake.plan import plan
from fwbuild.bake.write import DESCRIPTION, TEMPLATE, write
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import read_file
from fwbuild.guest import RAM_FILE, Guest
from fwbuild.image.build import build_image
from fwbuild.protocols.preloaded import AGAIN, read_record


def baked_guest(folder: Path, guest: Guest) -> Guest:
    """`guest` with machine type and memory of the baked guest in a folder. Raises FwbuildError for
    another folder, and for one whose RAM file no guest may use."""
    found = replace(guest, baked=folder, **_described(folder / DESCRIPTION))
    read_record(folder / RAM_FILE, found.memory)
    return found


def _described(path: Path) -> dict[str, Any]:
    """Machine type and memory in a description. Raises FwbuildError for none."""
    try:
        plain = json.loads(read_file(path))
        machine, memory = plain["machine"], plain["memory"]
        if isinstance(machine, str) and "\0" not in machine and type(memory) is int and memory > 0:
            return {"machine": machine, "memory": memory}
    except (ValueError, KeyError, TypeError, RecursionError):
        pass  # as for one that has other values
    what = "it does not describe a baked guest"
    raise FwbuildError(ExitCode.INPUT, what, where=str(path), hint=AGAIN)


def bake(guest: Guest, folder: Path, modules: Sequence[Path] = ()) -> Guest:
    """The same guest from a RAM file in `folder`, which is made. Raises FwbuildError for what
    cannot be baked."""
    write(plan(guest, modules), build_image(TEMPLATE, machines=[guest.family.name]), folder)
    return baked_guest(folder, replace(guest, kernel=None, initrd=None, append=""))
