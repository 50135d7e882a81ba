"""The files that a command line reads: what it writes does not go over one of them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from fwbuild.errors import ExitCode, FwbuildError


@dataclass
class _Seen:
    """What a command line has read, but for what it wrote before."""

    read: set[Path] = field(default_factory=set)
    written: set[Path] = field(default_factory=set)


_seen: ContextVar[_Seen | None] = ContextVar("seen", default=None)


@contextmanager
def kept() -> Iterator[None]:
    """In the block, files that are read are not overwritten. Outside of one, as in a script, all
    may be: it writes what it read when it likes."""
    token = _seen.set(_Seen())
    try:
        yield
    finally:
        _seen.reset(token)


def note_input(path: Path) -> None:
    """This file is read, by fwbuild or by QEMU."""
    if (seen := _seen.get()) and path not in seen.written:
        seen.read.add(path)


def note_outputs(paths: Iterable[Path]) -> None:
    """These files are written. Raises FwbuildError where one of them, by whatever name, is read."""
    if not (seen := _seen.get()):
        return
    outputs = list(paths)
    for out in outputs:
        if found := next((path for path in sorted(seen.read) if _same(path, out)), None):
            raise FwbuildError(
                ExitCode.INPUT,
                f"it is read, and would be overwritten by {out}",
                where=str(found),
                hint="let the output go elsewhere",
            )
    seen.written.update(outputs)


def _same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):  # one of them is not there
        return False
