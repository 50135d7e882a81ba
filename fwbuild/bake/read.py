"""A baked guest's folder, made here or found, as a Guest."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fwbuild.bake.plan import plan
from fwbuild.bake.write import DESCRIPTION, TEMPLATE, write
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import read_file
from fwbuild.guest import Guest
from fwbuild.image.build import build_image
from fwbuild.protocols.preloaded import AGAIN


def baked_guest(folder: Path, guest: Guest) -> Guest:
    """`guest` with machine type and memory of the baked guest in a folder. Raises FwbuildError for
    another folder."""
    path = folder / DESCRIPTION
    try:
        plain = json.loads(read_file(path))
        machine, memory = str(plain["machine"]), int(plain["memory"])
    except (ValueError, KeyError, TypeError, RecursionError):
        what = "it does not describe a baked guest"
        raise FwbuildError(ExitCode.INPUT, what, where=str(path), hint=AGAIN) from None
    return replace(guest, machine=machine, memory=memory, baked=folder)


def bake(guest: Guest, folder: Path, modules: Sequence[Path] = ()) -> Guest:
    """The same guest from a RAM file in `folder`, which is made. Raises FwbuildError for what
    cannot be baked."""
    write(plan(guest, modules), build_image(TEMPLATE, machines=[guest.family.name]), folder)
    return baked_guest(folder, replace(guest, kernel=None, initrd=None, append=""))
