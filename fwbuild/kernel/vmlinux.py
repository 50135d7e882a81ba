"""Reads an uncompressed kernel: its segments, and the PVH entry in its ELF note."""

from dataclasses import dataclass
from itertools import pairwise

from fwbuild.abi import e820, elf
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.kernel.elf_file import ElfError, ElfFile, LimitError, Segment, read_elf
from fwbuild.kernel.notes import (
    PvhNote,
    Relocation,
    ends_qemu,
    qemu_entry,
    relocation,
    written_note,
)
from fwbuild.kernel.placed import Placed

MACHINES = (elf.EM_386, elf.EM_X86_64)
OTHERS = {40: "EM_ARM", 183: "EM_AARCH64", 243: "EM_RISCV"}  # that a user may have by mistake
NOTES_MAX = 64 << 10  # bytes of all notes; those of real kernels take some hundred
CONTENT_MAX = 256 << 20  # of all segments together, which may lie over each other in the file
MEMORY_MAX = 256 << 20  # of a kernel that is copied whole; it lies in this process's memory
TOO_LARGE = f"it takes more than {MEMORY_MAX >> 20} MiB of memory"
OVERLAP = "Some ROM regions are overlapping"  # QEMU, hw/core/loader.c rom_check_and_register_reset
DIVIDES = "ends by SIGFPE: it divides by the alignment of a NOTE segment, which is 0"
LIMITED = "fwbuild does not load it, though QEMU may"
RELINK = "look at its program headers: readelf -lW"


@dataclass(frozen=True)
class Load:
    """An ELF file in memory: its lowest and highest physical address as QEMU counts them, empty
    segments included, and the segments in the order of their addresses."""

    low: int
    high: int
    placed: list[Placed]


@dataclass(frozen=True)
class Elf:
    """An ELF file for x86: `bits` 32 or 64, the entry in its header, its lowest and highest
    physical address, its PVH note as it is written and the entry as QEMU reads it there, both None
    without one, its segments once they are loaded, where Xen may move it to, and whether its notes
    end QEMU."""

    bits: int
    elf_entry: int
    low: int
    high: int
    pvh_note: PvhNote | None
    pvh_qemu: int | None
    placed: list[Placed]
    relocation: Relocation | None = None
    ends_qemu: bool = False


@dataclass(frozen=True)
class Vmlinux:
    """A PVH kernel: its PVH entry, its lowest and highest physical address, and its segments once
    they are loaded."""

    pvh_entry: int
    low: int
    high: int
    placed: list[Placed]


def parse_elf(data: bytes) -> Elf:
    """The ELF file. Raises ElfError where QEMU refuses it, LimitError where fwbuild does."""
    file = read_elf(data)
    if file.machine not in MACHINES:
        raise ElfError(f"it is for {OTHERS.get(file.machine, f'machine {file.machine}')}")
    memory = load(file)
    notes = [s.content for s in file.of(elf.PT_NOTE)]
    notes += [s.content for s in file.sections if s.type == elf.SHT_NOTE]
    if sum(map(len, notes)) > NOTES_MAX:
        raise LimitError(f"its notes take more than {NOTES_MAX >> 10} KiB")
    return Elf(
        file.bits,
        file.entry,
        memory.low,
        memory.high,
        written_note(file),
        qemu_entry(file),
        memory.placed,
        relocation(file),
        ends_qemu(file),
    )


def load(file: ElfFile) -> Load:
    """The work of QEMU's loader. Raises ElfError for a segment that QEMU or the firmware refuses,
    and LimitError where they are too large."""
    segments = file.of(elf.PT_LOAD)
    for s in segments:
        if len(s.content) > s.memsz or s.end > e820.FOUR_GIB:
            raise ElfError(f"a segment of {s.memsz:#x} bytes at {s.paddr:#x}")
    if sum(len(s.content) for s in segments) > CONTENT_MAX:
        raise LimitError(f"its segments take more than {CONTENT_MAX >> 20} MiB of the file")
    placed = [Placed(s.paddr, s.content, _size(s, segments)) for s in segments]
    taken = sorted((p for p in placed if p.size), key=lambda p: p.address)
    if not taken:
        raise ElfError("nothing to load")
    for low, high in pairwise(taken):
        if high.address < low.end:
            raise ElfError(f"segments overlap at {high.address:#x}", OVERLAP)
    return Load(min(p.address for p in placed), max(p.end for p in placed), taken)


def _size(segment: Segment, segments: list[Segment]) -> int:
    """A segment's size in memory: without its zeros where another has a part of their place."""
    start = segment.paddr + len(segment.content)
    others = (s for s in segments if s is not segment)
    if start < segment.end and any(s.paddr < segment.end and start < s.end for s in others):
        return len(segment.content)
    return segment.memsz


def parse_vmlinux(data: bytes, where: str) -> Vmlinux:
    """The kernel in an ELF file; errors name `where`."""
    try:
        elf = parse_elf(data)
    except ElfError as error:
        raise refusal(error, where) from None
    if problem := pvh_problem(elf):
        what, hint = problem
        raise FwbuildError(ExitCode.KERNEL, what, where=where, hint=hint)
    assert elf.pvh_qemu is not None
    return Vmlinux(elf.pvh_qemu, elf.low, elf.high, elf.placed)


def refusal(error: ElfError, where: str) -> FwbuildError:
    """The error for a file that is no ELF file to boot, or that is beyond fwbuild's limits."""
    if isinstance(error, LimitError):
        return beyond_limit(error, where)
    what = f"no ELF file to boot: {error}"
    hint = "`fwbuild inspect` tells what a file is, `fwbuild extract` unpacks a bzImage"
    return FwbuildError(ExitCode.KERNEL, what, where=where, hint=hint)


def beyond_limit(error: LimitError, where: str) -> FwbuildError:
    """The error for a file that QEMU may load, and fwbuild does not."""
    return FwbuildError(ExitCode.KERNEL, f"{LIMITED}: {error}", where=where, hint=RELINK)


def pvh_problem(elf: Elf) -> tuple[str, str] | None:
    """(what, hint) where there is no PVH entry, or QEMU does not find it."""
    if elf.pvh_note is None:
        return "no PVH ELF note", "build Linux with CONFIG_PVH=y, or boot its bzImage"
    if not elf.pvh_note.in_segment:
        what = "QEMU does not find its PVH ELF note, which lies in a section alone"
        return what, "let the linker script put the section into a PT_NOTE segment"
    if elf.ends_qemu:
        return f"QEMU {DIVIDES}", "give the segment an alignment of 4"
    if elf.pvh_note.entry == elf.pvh_qemu:
        return None
    return (
        "QEMU misreads its PVH ELF note, which shares a segment with notes of other alignment",
        "let the linker script discard .note.gnu.property",
    )
