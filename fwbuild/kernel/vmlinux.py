"""Reads an uncompressed kernel: its segments, and the PVH entry in its ELF note."""

import io
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import Segment

from fwbuild.abi import e820, pvh
from fwbuild.errors import ExitCode, FwbuildError

MACHINES = ("EM_386", "EM_X86_64")


@dataclass(frozen=True)
class Vmlinux:
    """A PVH kernel: its entry, its lowest and highest physical address, and `memory`, the
    (address, bytes) of each segment, filled up to its size in memory."""

    entry: int
    low: int
    high: int
    memory: list[tuple[int, bytes]]


def read_file(path: Path) -> bytes:
    """A file's bytes, or the error that a user can act on."""
    try:
        return path.read_bytes()
    except OSError as error:
        what = f"cannot read: {error.strerror}"
        raise FwbuildError(ExitCode.INPUT, what, where=str(path)) from None


def parse_vmlinux(data: bytes, where: str) -> Vmlinux:
    """The kernel in an ELF file; errors name `where`."""
    try:
        elf = ELFFile(io.BytesIO(data))
        segments = [s for s in elf.iter_segments("PT_LOAD") if s["p_memsz"]]
        for segment in segments:
            check_segment(segment, len(data))
        if elf.header["e_machine"] not in MACHINES:
            raise ELFError(f"it is for {elf.header['e_machine']}")
        entry = _pvh_entry(elf)
    except ELFError as error:
        raise FwbuildError(
            ExitCode.KERNEL, f"no ELF file to boot: {error}", where=where,
            hint="a bzImage's vmlinux is to be had with `fwbuild extract`",
        ) from None  # fmt: skip
    if entry is None or not segments:
        raise FwbuildError(
            ExitCode.KERNEL, "no PVH ELF note", where=where,
            hint="build Linux with CONFIG_PVH=y",
        )  # fmt: skip
    return Vmlinux(
        entry,
        min(s["p_paddr"] for s in segments),
        max(s["p_paddr"] + s["p_memsz"] for s in segments),
        [(s["p_paddr"], s.data().ljust(s["p_memsz"], b"\0")) for s in segments],
    )


def check_segment(segment: Segment, size: int) -> None:
    """Raise what is wrong with a PT_LOAD of a file of `size` bytes."""
    end = segment["p_paddr"] + segment["p_memsz"]
    if segment["p_offset"] + segment["p_filesz"] > size:
        raise ELFError("a segment passes the end of the file")
    if segment["p_filesz"] > segment["p_memsz"] or end > e820.FOUR_GIB:
        raise ELFError(f"a segment of {segment['p_memsz']:#x} bytes at {segment['p_paddr']:#x}")


def _pvh_entry(elf: ELFFile) -> int | None:
    """The entry in the ELF's PVH note, a descriptor of 4 or 8 bytes."""
    wanted = (pvh.ELF_NOTE_NAME.decode(), pvh.ELF_NOTE_PHYS32_ENTRY)
    for segment in elf.iter_segments("PT_NOTE"):
        for note in segment.iter_notes():
            if (note["n_name"], note["n_type"]) == wanted:
                if note["n_descsz"] not in pvh.ELF_NOTE_SIZES:
                    raise ELFError(f"a PVH note of {note['n_descsz']} bytes")
                return int.from_bytes(note["n_descdata"], "little") & 0xFFFFFFFF
    return None
