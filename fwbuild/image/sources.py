"""Finds asm/ and templates/: beside the package in a checkout, inside it when installed."""

from collections.abc import Mapping
from pathlib import Path

from fwbuild.assembler.source import Fragment, parse

PACKAGE = Path(__file__).resolve().parent.parent


def data_dir(name: str) -> Path:
    """The folder `name` ("asm", "templates") that belongs to this fwbuild."""
    installed = PACKAGE / "data" / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def read_sources(folder: str, symbols: Mapping[str, int]) -> list[Fragment]:
    """The fragments of every source in a folder, in the order of the file names. Names in
    errors and listings start at the folder, so that they are the same on every machine."""
    fragments: list[Fragment] = []
    for path in sorted(data_dir(folder).glob("*.s")):
        fragments += parse(f"{folder}/{path.name}", path.read_text(encoding="utf-8"), symbols)
    return fragments
