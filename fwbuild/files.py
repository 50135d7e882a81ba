"""Files: read whole, written whole or not at all, and found where fwbuild is installed."""

import errno
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from fwbuild.errors import ExitCode, FwbuildError

PACKAGE = Path(__file__).resolve().parent


def data_dir(name: str) -> Path:
    """The folder `name` ("asm", "templates") that belongs to this fwbuild: inside the package
    when it is installed, beside it in a checkout."""
    installed = PACKAGE / "data" / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def read_file(path: Path) -> bytes:
    """A file's bytes, or the error that a user can act on."""
    try:
        return path.read_bytes()
    except OSError as error:
        what = f"cannot read: {error.strerror}"
        raise FwbuildError(ExitCode.INPUT, what, where=str(path)) from None


# A file's bytes, or what writes them.
Content = bytes | Callable[[BinaryIO], None]


def write_all(contents: Mapping[Path, Content]) -> None:
    """Write files so that each is whole or was never touched.

    A folder or a device in the way of any of them is found before the first is replaced."""
    pending: list[tuple[str, Path]] = []
    path = Path()
    try:
        for path, data in contents.items():
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if path.exists() and not path.is_file():
                raise OSError(errno.EINVAL, "not a regular file")
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
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
        raise FwbuildError(
            ExitCode.INPUT, f"cannot write: {error.strerror}", where=str(path)
        ) from None
    finally:
        for name, _ in pending:
            Path(name).unlink(missing_ok=True)
