"""A QMP monitor for the user: a socket that QEMU listens at.

Source: QEMU, util/qemu-sockets.c unix_listen_saddr(), which deletes whatever has the name first;
unix(7) for the size of a name.
"""

import os
from pathlib import Path

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import RIGHTS
from fwbuild.qemu.command import escaped

SOCKET_PATH_MAX = 107  # bytes of a socket's name (unix(7), sun_path)


def monitor_arguments(path: Path) -> list[str]:
    """QEMU's arguments for a monitor that anybody may connect to or not. Raises FwbuildError for
    a path where no socket can be made, or where QEMU would delete a file."""
    try:
        there, folder = path.exists() and not path.is_socket(), path.parent.is_dir()
    except OSError as error:
        raise _error(path, f"no socket can be there: {error.strerror}", RIGHTS) from None
    if there:
        raise _error(path, "is there, and is no socket", "QEMU would delete it; name another path")
    if not folder:
        raise _error(path, "its folder is not there", "make it first")
    if len(os.fsencode(path)) > SOCKET_PATH_MAX:
        what = f"a socket's path has {SOCKET_PATH_MAX} bytes at most"
        raise _error(path, what, "name one in /tmp")
    return ["-qmp", f"unix:{escaped(path)},server=on,wait=off"]


def remove_socket(path: Path) -> None:
    """Remove the socket of a QEMU that has ended, which leaves it when a guest ends it."""
    if path.is_socket():
        path.unlink(missing_ok=True)


def _error(path: Path, what: str, hint: str) -> FwbuildError:
    return FwbuildError(ExitCode.INPUT, what, where=str(path), hint=hint)
