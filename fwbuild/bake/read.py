"""A baked guest's folder as a Guest."""

import json
from dataclasses import replace
from pathlib import Path

from fwbuild.bake.write import DESCRIPTION
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import read_file
from fwbuild.guest import Guest
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
