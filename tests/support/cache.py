"""The folder of what tests get from elsewhere once: ignored by git, shared by every worker, and by
other clones that link to it."""

import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = (Path(__file__).resolve().parents[2] / ".cache").resolve()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time is in here with a folder; the folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def once(target: Path, make: Callable[[Path], object]) -> Path:
    """A file or folder that `make` writes the first time it is asked for. `make` gets the path to
    write to: the target takes its place when it is whole."""
    if not target.exists():
        with locked(target.parent):
            if not target.exists():
                with tempfile.TemporaryDirectory(dir=target.parent, prefix="part-") as scratch:
                    part = Path(scratch) / target.name
                    make(part)
                    shutil.move(part, target)
    return target
