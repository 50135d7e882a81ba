"""Puts a kernel, its initrd and its command line where QEMU's loader does.

Source: QEMU 7.2, hw/i386/x86.c x86_load_linux and include/hw/elf_ops.h. Which loader QEMU
picks is only told for the PVH case; the others leave KERNEL_ENTRY at 0.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import Segment

from fwbuild.abi import pvh
from fwbuild.abi.fw_cfg import Key
from fwbuild.emulator.recording import Recording
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import Guest

SETUP_SIZE = 8192  # QEMU keeps the first 8 KiB of the ELF file as SETUP_DATA
ACPI_DATA_SIZE = {"microvm": 0, "pc": 0x28000, "q35": 0x28000}  # kept free at the end of low RAM
INITRD_ALIGN = 4096
MACHINES = ("EM_386", "EM_X86_64")


@dataclass
class Loaded:
    """What the loader did: `memory` is (address, bytes) put into RAM, `keys` the fw_cfg items."""

    entry: int
    low: int
    high: int
    memory: list[tuple[int, bytes]] = field(default_factory=list)
    keys: dict[int, bytes] = field(default_factory=dict)


def read(path: Path) -> bytes:
    """A file's bytes, or the error that a user can act on."""
    try:
        return path.read_bytes()
    except OSError as error:
        what = f"cannot read: {error.strerror}"
        raise FwbuildError(ExitCode.INPUT, what, where=str(path)) from None


def pvh_entry(elf: ELFFile) -> int | None:
    """The entry in the ELF's PVH note, a descriptor of 4 or 8 bytes."""
    for segment in elf.iter_segments("PT_NOTE"):
        for note in segment.iter_notes():
            if (note["n_name"], note["n_type"]) == (
                pvh.ELF_NOTE_NAME.decode(),
                pvh.ELF_NOTE_PHYS32_ENTRY,
            ):
                if note["n_descsz"] not in pvh.ELF_NOTE_SIZES:
                    raise ELFError(f"a PVH note of {note['n_descsz']} bytes")
                return int.from_bytes(note["n_descdata"], "little") & 0xFFFFFFFF
    return None


def _check_segment(segment: Segment, size: int) -> None:
    """Raise what is wrong with a PT_LOAD of a file of `size` bytes."""
    end = segment["p_paddr"] + segment["p_memsz"]
    if segment["p_offset"] + segment["p_filesz"] > size:
        raise ELFError("a segment passes the end of the file")
    if segment["p_filesz"] > segment["p_memsz"] or end > 1 << 32:
        raise ELFError(f"a segment of {segment['p_memsz']:#x} bytes at {segment['p_paddr']:#x}")


def load_kernel(data: bytes, where: str) -> Loaded:
    """The segments of a PVH kernel at their physical addresses."""
    try:
        elf = ELFFile(io.BytesIO(data))
        segments = [s for s in elf.iter_segments("PT_LOAD") if s["p_memsz"]]
        for segment in segments:
            _check_segment(segment, len(data))
        if elf.header["e_machine"] not in MACHINES:
            raise ELFError(f"it is for {elf.header['e_machine']}")
        entry = pvh_entry(elf)
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
    low = min(s["p_paddr"] for s in segments)
    high = max(s["p_paddr"] + s["p_memsz"] for s in segments)
    loaded = Loaded(entry, low, high)
    loaded.memory = [(s["p_paddr"], s.data().ljust(s["p_memsz"], b"\0")) for s in segments]
    return loaded


def load(guest: Guest, recording: Recording, kernel: bytes | None = None) -> Loaded | None:
    """Everything that QEMU puts in for `guest`, None without a kernel; `kernel` stands in for
    the kernel's file."""
    if kernel is None and guest.kernel is None:
        return None
    data = kernel if kernel is not None else read(guest.kernel or Path())
    loaded = load_kernel(data, str(guest.kernel or "the test kernel"))
    for address, content in loaded.memory:
        if not any(a <= address and address + len(content) <= a + s for a, s in recording.ram()):
            raise FwbuildError(
                ExitCode.KERNEL, f"a segment at {address:#x} lies outside RAM",
                where=str(guest.kernel or "the test kernel"),
                hint="give the guest more memory (-m)",
            )  # fmt: skip
    cmdline = guest.append.encode() + b"\0"
    numbers = {
        Key.KERNEL_ADDR: loaded.low,
        Key.KERNEL_SIZE: loaded.high - loaded.low,
        Key.KERNEL_ENTRY: loaded.entry,
        Key.SETUP_ADDR: 0,
        Key.SETUP_SIZE: SETUP_SIZE,
        Key.CMDLINE_ADDR: 0,
        Key.CMDLINE_SIZE: len(cmdline),
    }
    loaded.keys = {
        Key.SETUP_DATA: data[:SETUP_SIZE].ljust(SETUP_SIZE, b"\0"),
        Key.CMDLINE_DATA: cmdline,
    }
    if guest.initrd:
        initrd = read(guest.initrd)
        low_end = max(a + s for a, s in recording.ram() if a < 1 << 32)
        ceiling = low_end - ACPI_DATA_SIZE[guest.family] - 1
        if len(initrd) >= ceiling:
            raise FwbuildError(
                ExitCode.INPUT, "initrd is larger than low memory", where=str(guest.initrd),
                hint="give the guest more memory (-m)",
            )  # fmt: skip
        numbers[Key.INITRD_ADDR] = (ceiling - len(initrd)) & -INITRD_ALIGN
        numbers[Key.INITRD_SIZE] = len(initrd)
        loaded.keys[Key.INITRD_DATA] = initrd
    loaded.keys |= {key: value.to_bytes(4, "little") for key, value in numbers.items()}
    return loaded
