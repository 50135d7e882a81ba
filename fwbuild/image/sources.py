"""Reads the assembly sources: the firmware's chapters, and those of programs for a guest."""

from collections.abc import Mapping

from fwbuild.assembler.macro import Macros
from fwbuild.assembler.source import Fragment, parse
from fwbuild.files import data_dir

# Folders of asm/, in the order in which the image has them.
MACROS = "asm/macros.s"
CHAPTERS = ("boot", "lib", "platform", "pci", "load", "protocols", "bios")


def read_firmware(symbols: Mapping[str, int]) -> list[Fragment]:
    """The fragments of all chapters of the firmware."""
    return [f for chapter in CHAPTERS for f in read_sources(f"asm/{chapter}", symbols)]


def read_sources(folder: str, symbols: Mapping[str, int]) -> list[Fragment]:
    """The fragments of every source in a folder, in the order of the file names; all may use
    the macros of MACROS. Names in errors and listings start at the folder, so that they are the
    same on every machine."""
    macros: Macros = {}
    shared = data_dir("asm") / "macros.s"
    fragments = parse(MACROS, shared.read_text(encoding="utf-8"), symbols, macros)
    for path in sorted(data_dir(folder).glob("*.s")):
        text = path.read_text(encoding="utf-8")
        fragments += parse(f"{folder}/{path.name}", text, symbols, macros)
    return fragments
