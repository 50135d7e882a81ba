"""Reads an uncompressed kernel: its segments, and the PVH entry in its ELF note."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Section
from elftools.elf.segments import Segment

from fwbuild.abi import e820
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.kernel.notes import AREA_MAX, PvhNote, qemu_entry, written_note

MACHINES = ("EM_386", "EM_X86_64")
MEMORY_MAX = 512 << 20  # of all segments; what is emulated lies in this process's memory
TOO_LARGE = f"its segments take more than {MEMORY_MAX >> 20} MiB of memory"
LIMITED = "fwbuild does not load it, though QEMU may"
RELINK = "look at its program headers: readelf -lW"


class LimitError(ELFError):  # type: ignore[misc]
    """The file is beyond a limit of fwbuild's own; QEMU may load it."""


@dataclass(frozen=True)
class Elf:
    """An ELF file for x86: `bits` 32 or 64, its lowest and highest physical address, its
    PVH note as it is written, and the entry as QEMU reads it; both None without one."""

    bits: int
    entry: int
    low: int
    high: int
    pvh_note: PvhNote | None
    pvh_qemu: int | None
    segments: list[Segment]


@dataclass(frozen=True)
class Vmlinux:
    """A PVH kernel: its entry, its lowest and highest physical address, and `memory`, the
    (address, bytes) of each segment, filled up to its size in memory."""

    entry: int
    low: int
    high: int
    memory: list[tuple[int, bytes]]


@contextmanager
def elf_errors() -> Iterator[None]:
    """Offsets that no file can have are an ELFError too."""
    try:
        yield
    except OverflowError:
        raise ELFError("an offset in it is beyond any file") from None


@elf_errors()
def parse_elf(data: bytes) -> Elf:
    """The ELF file, or the ELFError for which QEMU refuses it, or LimitError."""
    elf = ELFFile(io.BytesIO(data))
    segments = [s for s in elf.iter_segments("PT_LOAD") if s["p_memsz"]]
    for segment in segments:
        check_segment(segment, len(data))
    notes = (*elf.iter_segments("PT_NOTE"), *elf.iter_sections("SHT_NOTE"))
    for part in notes:
        _check_inside(part, len(data))
    if (
        sum(part["p_filesz" if isinstance(part, Segment) else "sh_size"] for part in notes)
        > AREA_MAX
    ):
        raise LimitError(f"its notes take more than {AREA_MAX >> 20} MiB")
    if elf.header["e_machine"] not in MACHINES or not elf.little_endian:
        raise ELFError(f"it is for {elf.header['e_machine']}")
    if not segments:
        raise ELFError("nothing to load")
    return Elf(
        elf.elfclass,
        elf.header["e_entry"],
        min(s["p_paddr"] for s in segments),
        max(s["p_paddr"] + s["p_memsz"] for s in segments),
        written_note(elf),
        qemu_entry(elf),
        segments,
    )


def parse_vmlinux(data: bytes, where: str) -> Vmlinux:
    """The kernel in an ELF file; errors name `where`."""
    try:
        elf = parse_elf(data)
    except LimitError as error:
        raise beyond_limit(error, where) from None
    except ELFError as error:
        raise FwbuildError(
            ExitCode.KERNEL,
            f"no ELF file to boot: {error}",
            where=where,
            hint="`fwbuild extract` takes the vmlinux out of a bzImage",
        ) from None
    if problem := pvh_problem(elf):
        what, hint = problem
        raise FwbuildError(ExitCode.KERNEL, what, where=where, hint=hint)
    assert elf.pvh_qemu is not None
    try:
        memory = in_memory(elf)
    except LimitError as error:
        raise beyond_limit(error, where) from None
    return Vmlinux(elf.pvh_qemu, elf.low, elf.high, memory)


def in_memory(elf: Elf) -> list[tuple[int, bytes]]:
    """(physical address, bytes) of each segment once it is loaded. Raises LimitError."""
    if sum(s["p_memsz"] for s in elf.segments) > MEMORY_MAX:
        raise LimitError(TOO_LARGE)
    return [(s["p_paddr"], s.data().ljust(s["p_memsz"], b"\0")) for s in elf.segments]


def beyond_limit(error: LimitError, where: str) -> FwbuildError:
    """The error for a file that QEMU may load, and fwbuild does not."""
    return FwbuildError(ExitCode.KERNEL, f"{LIMITED}: {error}", where=where, hint=RELINK)


def pvh_problem(elf: Elf) -> tuple[str, str] | None:
    """(what, hint) where there is no PVH entry, or QEMU does not find it."""
    if elf.pvh_note is None:
        return "no PVH ELF note", "build Linux with CONFIG_PVH=y, or boot its bzImage"
    if elf.pvh_note.entry == elf.pvh_qemu:
        return None
    return (
        "QEMU misreads its PVH ELF note, which shares a segment with notes of other alignment",
        "let the linker script discard .note.gnu.property",
    )


def check_segment(segment: Segment, size: int) -> None:
    """Raise what is wrong with a PT_LOAD of a file of `size` bytes."""
    end = segment["p_paddr"] + segment["p_memsz"]
    _check_inside(segment, size)
    if segment["p_filesz"] > segment["p_memsz"] or end > e820.FOUR_GIB:
        raise ELFError(f"a segment of {segment['p_memsz']:#x} bytes at {segment['p_paddr']:#x}")


def _check_inside(part: Segment | Section, size: int) -> None:
    """Raise if a segment or section does not lie in a file of `size` bytes."""
    start, length = (
        ("p_offset", "p_filesz") if isinstance(part, Segment) else ("sh_offset", "sh_size")
    )
    if part[start] + part[length] > size:
        raise ELFError("a segment or section passes the end of the file")
