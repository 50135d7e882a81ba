"""Multiboot kernels as people write them to learn: 64-bit ELF files of GNU as and ld, that start in
32-bit code at the physical address and run in the upper half."""

import shutil
import subprocess
from pathlib import Path

from tests.conftest import need

PHYSICAL, VIRTUAL = 0x200000, 0xFFFFFFFF80000000
SCRIPT = """
ENTRY(_start)
PHDRS {{ text PT_LOAD FLAGS(5); data PT_LOAD FLAGS(6); }}
SECTIONS {{
    . = {virtual:#x} + {physical:#x};
    .text : AT(ADDR(.text) - {virtual:#x}) {{ KEEP(*(.header)) *(.text) }} :text
    . = ALIGN(0x1000);
    .data : AT(ADDR(.data) - {virtual:#x}) {{ *(.data) }} :data
    .bss : AT(ADDR(.bss) - {virtual:#x}) {{ *(.bss) }} :data
}}
"""
CODE = """
.text
.globl _start
.code32
_start: hlt
.data
.long 0x12345678
.bss
.skip 0x5000
"""
HEADER1 = """
.section .header,"a"
.balign 4
.long 0x1badb002, {flags}, -(0x1badb002 + {flags})
"""

# `tags`: lines of assembly
HEADER2 = """
.section .header,"a"
.balign 8
header: .long 0xe85250d6, 0, end - header, -(0xe85250d6 + end - header)
{tags}
.balign 8
.short 0, 0
.long 8
end:
"""


def tag(kind: int, *words: int, optional: bool = False) -> str:
    """A tag of a Multiboot 2 header, with dwords in it."""
    lines = f".balign 8\n.short {kind}, {int(optional)}\n.long {8 + 4 * len(words)}\n"
    return lines + "".join(f".long {word:#x}\n" for word in words)


def link(header: str, folder: Path, virtual: int = VIRTUAL, physical: int = PHYSICAL) -> Path:
    """The kernel with a header, in a scratch folder."""
    if not shutil.which("ld"):
        need("ld (package binutils)")
    (folder / "k.s").write_text(header + CODE)
    (folder / "k.ld").write_text(SCRIPT.format(virtual=virtual, physical=physical))
    pages = ["-z", "max-page-size=0x1000"]
    for argv in (
        ["as", "--64", "-mx86-used-note=no", "k.s", "-o", "k.o"],
        ["ld", "-m", "elf_x86_64", *pages, "-T", "k.ld", "k.o", "-o", "hobby"],
    ):
        subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    return folder / "hobby"


def elf64(kernel: bytes, folder: Path) -> bytes:
    """A 32-bit ELF file as a 64-bit one."""
    if not shutil.which("objcopy"):
        need("objcopy (package binutils)")
    (folder / "k32").write_bytes(kernel)
    argv = ["objcopy", "-I", "elf32-i386", "-O", "elf64-x86-64", "k32", "k64"]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    return (folder / "k64").read_bytes()


def elf32(kernel: bytes, folder: Path) -> bytes:
    """A 64-bit ELF file as a 32-bit one."""
    if not shutil.which("objcopy"):
        need("objcopy (package binutils)")
    (folder / "k64").write_bytes(kernel)
    argv = ["objcopy", "-I", "elf64-x86-64", "-O", "elf32-i386", "k64", "k32"]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    return (folder / "k32").read_bytes()
