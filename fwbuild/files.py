"""Files: read whole, written whole or not at all, and found where fwbuild is installed."""

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.inputs import note_input, note_outputs
from fwbuild.interrupt import interrupted_later

REGULAR_MAX = 4 << 30  # bytes; a kernel with debugging information has one GiB
STREAM_MAX = 512 << 20

NO_FILE = "no such file"
IRREGULAR = "not a regular file"
UNREADABLE = "cannot read"
RIGHTS = "look at its path and its rights"  # the hint
ROOM = "make room for it"
SCRATCH = ".fwbuild-"  # of scratch files; the file's own name may leave no room for more
FULL = (errno.ENOSPC, errno.EDQUOT)

PACKAGE = Path(__file__).resolve().parent


def data_dir(name: str) -> Path:
    """The folder `name` ("asm", "templates") that belongs to this fwbuild: inside the package
    when it is installed, beside it in a checkout."""
    installed = PACKAGE / "data" / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def why_no_file(path: Path) -> str:
    """What keeps this name from being a regular file's, in words; empty for one that is."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        return NO_FILE if missing else f"{UNREADABLE}: {error.strerror}"
    except ValueError:  # a NUL in it
        return NO_FILE
    return "" if stat.S_ISREG(mode) else IRREGULAR


def check_name(path: Path) -> None:
    """Raise the error of a path that ends with no name, beside which no file can be: `/` or `.`."""
    if not path.name:
        what, hint = "cannot write: not a file name", "say FOLDER/FILE"
        raise FwbuildError(ExitCode.INPUT, what, where=str(path), hint=hint)


def is_file(path: Path) -> bool:
    """Whether a regular file has this name, as far as may be known."""
    return not why_no_file(path)


def read_file(path: Path, limit: int | None = None) -> bytes:
    """A file's bytes, or the error that a user can act on; `limit` in bytes. Without one a pipe or
    a device still has one, for it may have no end."""
    note_input(path)
    try:
        with path.open("rb") as stream:
            if stream.isatty():  # where nothing may ever come
                raise OSError(errno.EINVAL, "a terminal")
            regular = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
            most = limit or (REGULAR_MAX if regular else STREAM_MAX)
            if regular and os.fstat(stream.fileno()).st_size > most:
                raise _too_large(path, most)
            data = stream.read() if regular else stream.read(most + 1)
    except OSError as error:
        what = f"{UNREADABLE}: {error.strerror}"
        raise FwbuildError(ExitCode.INPUT, what, where=str(path), hint=RIGHTS) from None
    if len(data) > most:
        raise _too_large(path, most)
    return data


def read_beside(path: Path, limit: int) -> bytes:
    """The same for what nobody named, but for the folder or the file beside it: a regular file of
    at most `limit` bytes. A pipe there would be waited for."""
    if why_no_file(path) == IRREGULAR:
        what = f"{UNREADABLE}: {IRREGULAR}"
        raise FwbuildError(ExitCode.INPUT, what, where=str(path), hint=RIGHTS)
    return read_file(path, limit)


def _too_large(path: Path, most: int) -> FwbuildError:
    what, hint = f"it has more than {most >> 10} KiB", "is it the right file?"
    return FwbuildError(ExitCode.INPUT, what, where=str(path), hint=hint)


# A file's bytes, or what writes them.
Content = bytes | Callable[[BinaryIO], None]


def write_all(contents: Mapping[Path, Content]) -> None:
    """Write files so that each is whole or was never touched, whatever signal comes.

    A folder or a device in the way of any of them is found before the first is replaced. Folders
    that they need are made, and go again where the files cannot be written. Raises FwbuildError for
    a file that cannot be written, and for one that the command line reads."""
    note_outputs(contents)
    with interrupted_later():
        _write_all(contents)


def _write_all(contents: Mapping[Path, Content]) -> None:
    pending: list[tuple[str, Path]] = []
    made: list[Path] = []  # folders, outer ones first
    path = Path()
    try:
        for path, data in contents.items():
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if path.exists() and not path.is_file():
                raise OSError(errno.EINVAL, IRREGULAR)
            made += [p for p in reversed(path.parents) if not p.exists()]
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=SCRATCH)
            pending.append((name, path))
            with os.fdopen(handle, "wb") as stream:
                if isinstance(data, bytes):
                    stream.write(data)
                else:
                    data(stream)
            Path(name).chmod(0o644)
        for name, path in pending:
            Path(name).replace(path)
    except OSError as error:
        what = f"cannot write: {error.strerror}"
        hint = ROOM if error.errno in FULL else RIGHTS
        raise FwbuildError(ExitCode.INPUT, what, where=str(path), hint=hint) from None
    finally:
        for name, _ in pending:
            Path(name).unlink(missing_ok=True)
        for folder in reversed(made):  # but for what holds a file
            with suppress(OSError):
                folder.rmdir()
