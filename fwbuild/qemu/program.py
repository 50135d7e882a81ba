"""The QEMU that is used: which one, its version, and what it offers.

It is the one that `chosen` names, else FWBUILD_QEMU in the environment, else the one on PATH.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache

from fwbuild.errors import ExitCode, FwbuildError

NAME = "qemu-system-x86_64"
VARIABLE = "FWBUILD_QEMU"
HINT = f"it should be a {NAME}"
SECONDS = 30  # for a question

_chosen: ContextVar[str | None] = ContextVar("qemu", default=None)


@dataclass(frozen=True)
class Qemu:
    """A QEMU by its path; `version` as in "7.2.22"."""

    path: str
    version: str

    @property
    def numbers(self) -> tuple[int, ...]:
        """The version, to compare it with others."""
        return tuple(int(part) for part in self.version.split("."))

    def __str__(self) -> str:
        return f"QEMU {self.version} ({self.path})"

    def ask(self, *words: str) -> str:
        """The text that it prints for help; empty if it has none."""
        argv = [self.path, *words]
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout


@contextmanager
def chosen(path: str | None) -> Iterator[None]:
    """Use the QEMU at a path (or the default one, by None) in a block."""
    token = _chosen.set(path)
    try:
        yield
    finally:
        _chosen.reset(token)


def find() -> str | None:
    """The path of the QEMU that is used, or None where there is none."""
    return shutil.which(_wanted() or NAME)


def program() -> Qemu:
    """The QEMU that is used. Raises FwbuildError where there is none."""
    wanted = _wanted()
    path = find()
    if path:
        return _asked(path)
    if wanted:
        raise FwbuildError(
            ExitCode.QEMU,
            "no program",
            where=wanted,
            hint=f"--qemu and {VARIABLE} take the path of a {NAME}",
        )
    raise FwbuildError(
        ExitCode.QEMU,
        f"no {NAME} on this machine",
        hint="Debian's package is qemu-system-x86; --qemu names one elsewhere",
    )


def _wanted() -> str | None:
    return _chosen.get() or os.environ.get(VARIABLE)


@cache
def _asked(path: str) -> Qemu:
    """The QEMU at a path, asked for its version once."""
    try:
        argv = [path, "--version"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        what = f"it does not start: {error}"
        raise FwbuildError(ExitCode.QEMU, what, where=path, hint=HINT) from None
    match = re.search(r"QEMU emulator version (\d+(\.\d+)+)", done.stdout)
    if not match:
        words = (done.stderr or done.stdout).strip().splitlines()[-1:]
        what = f"it is not a QEMU: {words[0]}" if words else "it is not a QEMU"
        raise FwbuildError(ExitCode.QEMU, what, where=path, hint=HINT)
    return Qemu(path, match[1])
