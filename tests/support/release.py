"""Makes a release: `python -m tests.support.release` writes dist/.

That is the sdist, the wheel, an image of each template and SHA256SUMS. The wheel is built twice,
from the checkout and from the sdist, and each image twice, by this fwbuild and by the wheel's in an
empty venv. A release is refused where two of them differ.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path

from fwbuild.image.build import build_image
from fwbuild.image.template import Template, names
from fwbuild.version import RELEASED, __version__

ROOT = Path(__file__).resolve().parents[2]
SUMS = "SHA256SUMS"
BUILD = "import sys; from hatchling import build; print(getattr(build, sys.argv[1])(sys.argv[2]))"


def epoch() -> str:
    """The seconds that all files of a release bear as their time: midnight of its day."""
    return str(int(datetime.combine(date.fromisoformat(RELEASED), time(), UTC).timestamp()))


def built(what: str, source: Path, into: Path) -> Path:
    """The file that hatchling makes of `source`; `what` is build_sdist or build_wheel."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD, what, str(into)],
        cwd=source,
        env=os.environ | {"SOURCE_DATE_EPOCH": epoch()},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return into / done.stdout.split()[-1]


@contextmanager
def unpacked(sdist: Path) -> Iterator[Path]:
    """The folder that an sdist unpacks to, for a while."""
    with tempfile.TemporaryDirectory() as name, tarfile.open(sdist) as packed:
        packed.extractall(name, filter="data")
        (folder,) = Path(name).iterdir()
        yield folder


def sdist_and_wheel(into: Path) -> tuple[Path, Path]:
    """Both in `into`; ValueError where the sdist does not build the checkout's wheel."""
    sdist, wheel = built("build_sdist", ROOT, into), built("build_wheel", ROOT, into)
    with unpacked(sdist) as source:
        again = built("build_wheel", source, source)
        if again.read_bytes() != wheel.read_bytes():
            raise ValueError(f"the sdist builds another {wheel.name} than the checkout")
    return sdist, wheel


def images(into: Path) -> list[Path]:
    """An image of each template, built by this fwbuild."""
    made = []
    for name in names():
        path = into / f"fwbuild-{__version__}-{name}.bin"
        path.write_bytes(build_image(Template.load(name)).image)
        made.append(path)
    return made


def install(wheel: Path, folder: Path) -> Path:
    """The fwbuild of a wheel in a venv that has nothing else."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, str(wheel)], check=True)
    return folder / "bin/fwbuild"


def check_installed(fwbuild: Path, made: list[Path]) -> None:
    """The installed fwbuild, in an empty folder: its version, its images, a handoff that it judges,
    its completion. Raises ValueError or CalledProcessError."""

    def said(*arguments: str) -> str:
        done = subprocess.run(
            [str(fwbuild), *arguments],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout

    with tempfile.TemporaryDirectory() as folder:
        if said("--version").split() != ["fwbuild", __version__]:
            raise ValueError("the wheel has another version")
        for image in made:
            template = image.stem.removeprefix(f"fwbuild-{__version__}-")
            said("build", "--template", template, "--out", image.name)
            if (Path(folder) / image.name).read_bytes() != image.read_bytes():
                raise ValueError(f"the wheel builds another image of {template}")
        said("verify")
        if said("completion", "bash") != (ROOT / "share/fwbuild.bash").read_text(encoding="utf-8"):
            raise ValueError("the wheel has another completion")


def sums(files: list[Path]) -> str:
    """As `sha256sum --check` reads them."""
    return "".join(f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in files)


def main() -> None:
    """Make the release, check it, and say what is there."""
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir()
    made = images(dist)
    sdist, wheel = sdist_and_wheel(dist)
    with tempfile.TemporaryDirectory() as folder:
        check_installed(install(wheel, Path(folder)), made)
    text = sums([sdist, wheel, *made])
    (dist / SUMS).write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
