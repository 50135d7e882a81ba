"""Reads the assembly sources: the firmware's chapters, and programs that are no firmware."""

from collections.abc import Mapping

from fwbuild.assembler.source import Fragment, parse
from fwbuild.files import data_dir

# Folders of asm/, in the order in which the image has them.
CHAPTERS = ("boot", "lib", "platform", "pci", "protocols", "bios")


def read_firmware(symbols: Mapping[str, int]) -> list[Fragment]:
    """The fragments of all chapters of the firmware."""
    return [f for chapter in CHAPTERS for f in read_sources(f"asm/{chapter}", symbols)]


def read_sources(folder: str, symbols: Mapping[str, int]) -> list[Fragment]:
    """The fragments of every source in a folder, in the order of the file names. Names in
    errors and listings start at the folder, so that they are the same on every machine."""
    fragments: list[Fragment] = []
    for path in sorted(data_dir(folder).glob("*.s")):
        fragments += parse(f"{folder}/{path.name}", path.read_text(encoding="utf-8"), symbols)
    return fragments
