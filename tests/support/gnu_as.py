"""GNU as as a second opinion: many instructions assembled in one run."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import need

TOOLS = ("as", "objcopy")
ERROR = re.compile(r":(\d+): Error: ", re.MULTILINE)
MARK = b"\xa5\x5a\xc3\x3c"  # between instructions; nothing in the tables contains it


def require() -> None:
    """Skip the test when binutils is missing; under CI that is a failure."""
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        need(f"{', '.join(missing)} (package binutils)")


def assemble(texts: Sequence[str], bits: int, folder: Path) -> list[bytes | None]:
    """The bytes of each text (Intel syntax, or `.att TEXT`); None where as finds an error."""
    refused: set[int] = set()
    errors = _run(texts, bits, folder, refused)
    if errors:
        refused |= errors
        left = _run(texts, bits, folder, refused)
        assert not left, f"as refuses what it took before: {left}"
    subprocess.run(
        ["objcopy", "-O", "binary", "-j", ".text", "code.o", "code.bin"], cwd=folder, check=True
    )
    pieces = (folder / "code.bin").read_bytes().split(MARK)[1:]
    assert len(pieces) == len(texts)
    return [None if i in refused else piece for i, piece in enumerate(pieces)]


def _run(texts: Sequence[str], bits: int, folder: Path, refused: set[int]) -> set[int]:
    """Assemble all but the refused; the numbers of those with errors."""
    mark = ".byte " + ", ".join(f"{byte:#x}" for byte in MARK)
    lines = [f".code{bits}; .intel_syntax noprefix"]
    lines += [f"{mark}; {'' if i in refused else _line(text)}" for i, text in enumerate(texts)]
    (folder / "code.s").write_text("\n".join(lines) + "\n", encoding="ascii")
    command = ["as", "--32" if bits != 64 else "--64", "-o", "code.o", "code.s"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = {int(number) - 2 for number in ERROR.findall(done.stderr)}
    assert done.returncode == 0 or found, done.stderr
    return found


def _line(text: str) -> str:
    if not text.startswith(".att "):
        return text
    return f".att_syntax prefix; {text.removeprefix('.att ')}; .intel_syntax noprefix"
