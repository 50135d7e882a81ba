"""ELF kernels whose PVH note lies alone, or merged with binutils' .note.gnu.property."""

import shutil
import subprocess
from pathlib import Path

from tests.conftest import need

ENTRY = 0x100004
SOURCE = """
.section .note.gnu.property,"a",@note
.balign 8
.long 4, 32, 5
.asciz "GNU"
.long 0xc0000002, 4, 3, 0, 0xc0008002, 4, 1, 0
.section .note.Xen,"a",@note
.balign 4
.long {namesz}, {width}, 18
.asciz "{name}"
.balign 4
.{unit} pvh_start
.text
.globl _start
_start: nop; nop; nop; nop
pvh_start: hlt
"""
SCRIPT = """
PHDRS {{ text PT_LOAD; note PT_NOTE; }}
SECTIONS {{
    . = 0x100000;
    .text : {{ *(.text) }} :text
    .notes : {{ {notes} }} :text :note
    /DISCARD/ : {{ {discarded} }}
}}
"""
XEN, GNU = "KEEP(*(.note.Xen))", "KEEP(*(.note.gnu.property))"
# name: (what .notes is made of, what is left out)
LAYOUTS = {
    "alone": (XEN, "*(.note.gnu.property)"),
    "behind GNU's": (f"{GNU} {XEN}", "*(.none)"),
    "before GNU's": (f"{XEN} {GNU}", "*(.none)"),
}
WIDTHS = {4: "long", 8: "quad"}


def link(layout: str, width: int, folder: Path, name: str = "Xen") -> Path:
    """A 64-bit kernel with a PVH note of `width` bytes that tells ENTRY, made by GNU as and ld
    in a scratch folder. `name`: the note's."""
    if not shutil.which("ld"):
        need("ld (package binutils)")
    notes, discarded = LAYOUTS[layout]
    source = SOURCE.format(width=width, unit=WIDTHS[width], name=name, namesz=len(name) + 1)
    (folder / "k.s").write_text(source)
    (folder / "k.ld").write_text(SCRIPT.format(notes=notes, discarded=discarded))
    for argv in (
        ["as", "--64", "-mx86-used-note=no", "k.s", "-o", "k.o"],
        ["ld", "-m", "elf_x86_64", "-T", "k.ld", "k.o", "-o", "kernel"],
    ):
        subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    return folder / "kernel"
