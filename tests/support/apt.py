"""Debian's archive through apt, with lists, state and cache of our own: the system's packages and
lists are neither used nor changed.

The mirror is the one that the system's own sources name. A suite whose Release file is past its
date is taken all the same: signatures are checked.
"""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.cache import CACHE, locked

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SECONDS = 400  # a download


@cache
def mirror() -> str:
    """The address of Debian's archive that this system uses."""
    form = "$(ORIGIN) $(LABEL) $(REPO_URI)"
    for line in _run("apt-get", "indextargets", "--format", form).splitlines():
        if line.startswith("Debian Debian "):
            return line.split()[-1]
    raise OSError("apt's sources have no archive of Debian; run `apt-get update`")


@dataclass(frozen=True)
class Archive:
    """Debian's suites by name; a package comes from the last that has it."""

    suites: tuple[str, ...]
    architectures: tuple[str, ...] = ("amd64",)

    @property
    def folder(self) -> Path:
        """Where its lists are."""
        return CACHE / "apt" / "-".join(self.suites)

    def download(self, package: str, folder: Path) -> None:
        """A package's file; `package` may name an architecture (busybox-static:i386)."""
        folder.mkdir()
        self._get("download", package, cwd=folder)

    def download_closure(self, packages: Sequence[str], folder: Path) -> None:
        """The files of packages and of all that they depend on, down to the C library."""
        (folder / "partial").mkdir(parents=True)
        options = ("--download-only", "--yes", "--no-install-recommends")
        self._get("install", "-o", f"Dir::Cache::archives={folder}", *options, *packages)

    def names(self, start: str) -> list[str]:
        """The names of packages that begin so."""
        return self._asked("pkgnames", start).split()

    def depends(self, package: str) -> str:
        """The output of `apt-cache depends` for a package."""
        return self._asked("depends", package)

    def _asked(self, *arguments: str) -> str:
        with locked(self.folder):
            self._update()
            return self._apt("apt-cache", *arguments)

    def _get(self, *arguments: str, cwd: Path | None = None) -> None:
        """apt-get, and once more with new lists if need be: a mirror keeps no old versions."""
        with locked(self.folder):
            self._update()
            try:
                self._apt("apt-get", *arguments, cwd=cwd)
            except subprocess.CalledProcessError:
                self._update(anew=True)
                self._apt("apt-get", *arguments, cwd=cwd)

    def _update(self, anew: bool = False) -> None:
        lists, made = self.folder / "lists", self.folder / "updated"
        if not made.exists() or anew:
            (lists / "partial").mkdir(parents=True, exist_ok=True)
            (self.folder / "status").touch()  # no package is installed
            lines = (
                f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n" for suite in self.suites
            )
            (self.folder / "sources.list").write_text("".join(lines))
            self._apt("apt-get", "update", "-qq")
            made.touch()

    def _apt(self, program: str, *arguments: str, cwd: Path | None = None) -> str:
        options = {
            "Dir::Etc::sourcelist": self.folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State": self.folder,
            "Dir::State::lists": self.folder / "lists",
            "Dir::State::status": self.folder / "status",
            "Dir::Cache": self.folder,
            "APT::Architectures": ",".join(self.architectures),
            "APT::Default-Release": self.suites[-1],
            "APT::Sandbox::User": "",
            "APT::Update::Error-Mode": "any",
            "Acquire::Check-Valid-Until": "false",
        }
        words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        return _run(program, *words, *arguments, cwd=cwd)


def _run(*argv: str, cwd: Path | None = None) -> str:
    environment = os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        argv, cwd=cwd, check=True, capture_output=True, text=True, timeout=SECONDS, env=environment
    ).stdout
