"""The images that race: ours, what the user names, and Debian's qboot and SeaBIOS."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.image.build import Image, build_image
from fwbuild.machines import FAMILIES, MACHINES

QBOOT = Path("/usr/share/qemu/qboot.rom")
SEABIOS = Path("/usr/share/seabios")


@dataclass(frozen=True)
class Contender:
    """An image by name: its file for each family of machines. `image` is there if it is ours;
    `traced` is then the file of the same image with its trace points on, and `contents` what
    is to be written to both. A baked guest is laid out in the folder `baked`, with an image of its
    own for each kernel and machine."""

    name: str
    files: Mapping[str, Path]
    _: KW_ONLY
    image: Image | None = None
    traced: Path | None = None
    contents: Mapping[Path, bytes] = field(default_factory=dict)
    baked: Path | None = None


def ours(template: str, folder: Path) -> Contender:
    """A template's image for a folder, with and without trace points."""
    image, traced = build_image(template), build_image(template, trace=True)
    stem = Path(template).stem
    path, traced_path = folder / f"{stem}.bin", folder / f"{stem}-trace.bin"
    contents = {path: image.image, traced_path: traced.image}
    return Contender(
        f"fwbuild {stem}",
        _everywhere(path),
        image=image,
        traced=traced_path,
        contents=contents,
    )


def theirs(path: Path) -> Contender:
    """An image that somebody else made."""
    return Contender(path.name, _everywhere(path))


def baked(folder: Path) -> Contender:
    """The kernel in a RAM file, by `fwbuild bake`."""
    return Contender("fwbuild baked", {}, baked=folder / "baked")


def peers() -> list[Contender]:
    """Those of Debian's that are installed."""
    found = [theirs(QBOOT)] if QBOOT.exists() else []
    files = {family.name: SEABIOS / family.seabios for family in FAMILIES}
    if all(path.exists() for path in files.values()):
        found.append(Contender("SeaBIOS", files))
    return found


def check_names(contenders: Sequence[Contender]) -> None:
    """Raise the error of two images that nobody could tell apart in a table."""
    names = [contender.name for contender in contenders]
    for name in names:
        if names.count(name) > 1:
            raise FwbuildError(ExitCode.USAGE, f"two images are called '{name}'", hint="rename one")


def _everywhere(path: Path) -> dict[str, Path]:
    return dict.fromkeys(MACHINES, path)
