"""A cache of the vmlinux files that were taken out of bzImages, in the user's folder for caches.

A file is called KEY.SUM: KEY is the SHA-256 of the bzImage, SUM that of the file itself, so that
damage shows. It holds the vmlinux, or, for a kernel that has none with a PVH entry, the reason in
words. Files take their place whole, by a rename; two processes that make the same one make no
difference. KEY.SUM.saves is a JSON object: what that vmlinux was measured to save, by machine type.

Source of the folder: XDG Base Directory Specification, XDG_CACHE_HOME.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fwbuild.abi import elf
from fwbuild.errors import FwbuildError
from fwbuild.files import write_all
from fwbuild.kernel.bzimage import parse_bzimage, unpack
from fwbuild.kernel.decompress import PayloadError
from fwbuild.kernel.vmlinux import pvh_problem

VARIABLE = "XDG_CACHE_HOME"
KEPT = 10  # files, of about 50 MiB each: those that were used last
SAVES = ".saves"


class NoVmlinuxError(Exception):
    """There is no vmlinux with a PVH entry in a bzImage: why."""


@dataclass(frozen=True)
class Kept:
    """A vmlinux on disk, and whether it was there before."""

    path: Path
    found: bool


def folder() -> Path | None:
    """Where the cache is, None for a user without a home."""
    base = Path(os.environ.get(VARIABLE, ""))
    try:
        home = base if base.is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return home / "fwbuild" / "vmlinux"


def pvh_vmlinux(kernel: bytes, scratch: Path) -> Kept:
    """The vmlinux inside the bzImage `kernel`. It goes to the folder `scratch` where the cache
    cannot take it. Raises NoVmlinuxError."""
    key, cache = _sum(kernel), folder()
    path = cache and _look_up(cache, key)
    found = path is not None
    if path is None:
        content = _take_out(kernel)
        path = _keep(cache, key, content) or _write(scratch, key, content)
    with path.open("rb") as stream:
        if stream.read(len(elf.MAGIC)) != elf.MAGIC:
            raise NoVmlinuxError(path.read_text("utf-8"))
    return Kept(path, found)


def remember(vmlinux: Path, machine: str, saves: str) -> None:
    """Keep what a vmlinux of the cache saves on a machine type, in words, where that can be
    written."""
    if vmlinux.parent == folder():
        known = _known(vmlinux) | {machine: saves}
        with suppress(FwbuildError):
            write_all({_saves(vmlinux): json.dumps(known).encode("utf-8")})


def remembered(vmlinux: Path, machine: str) -> str:
    """What remember() was told of that machine type, "" for nothing."""
    return _known(vmlinux).get(machine, "")


def _known(vmlinux: Path) -> dict[str, str]:
    """What remember() was told, by the machine type."""
    try:
        found = json.loads(_saves(vmlinux).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _saves(vmlinux: Path) -> Path:
    return vmlinux.with_name(vmlinux.name + SAVES)


def _take_out(kernel: bytes) -> bytes:
    """The vmlinux, or the reason why there is none for PVH."""
    try:
        _, vmlinux, parsed = unpack(parse_bzimage(kernel))
    except PayloadError as error:
        return str(error).encode("utf-8")
    problem = pvh_problem(parsed)
    return problem[0].encode("utf-8") if problem else vmlinux


def _look_up(cache: Path, key: str) -> Path | None:
    """The file of a key that is what it was when it was written."""
    with suppress(OSError):
        for path in cache.glob(f"{key}.*"):
            if path.is_file() and _sum(path.read_bytes()) == path.suffix[1:]:
                path.touch()
                return path
    return None


def _keep(cache: Path | None, key: str, content: bytes) -> Path | None:
    """The file in the cache, None where it cannot be written."""
    if cache is None:
        return None
    try:
        path = _write(cache, key, content)
    except FwbuildError:
        return None
    _tidy(cache)
    return path


def _write(where: Path, key: str, content: bytes) -> Path:
    path = where / f"{key}.{_sum(content)}"
    write_all({path: content})
    return path


def _tidy(cache: Path) -> None:
    """Leave KEPT files: those that were used last. What a killed process has left goes, too."""
    with suppress(OSError):
        found = [path for path in cache.iterdir() if path.suffix != SAVES]
        files = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
        for path in files[KEPT:]:
            path.unlink()
            _saves(path).unlink(missing_ok=True)


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
