"""Reads EFI applications, and the parts of a unified kernel image (UKI), which is one.

Source: UAPI group, Unified Kernel Image; systemd, systemd-stub(7); Microsoft, PE Format.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.sizes import padded

MAGIC = b"MZ"
PARTS = (".linux", ".initrd", ".ucode", ".cmdline", ".osrel", ".uname")
KERNEL = ".linux"
TEXTS = (".cmdline", ".osrel", ".uname")
TEXT_MAX = 64 << 10  # bytes of one; Linux takes 2 KiB of a command line
MACHINES = {0x14C: "i386", 0x8664: "x86-64"}  # of the PE header
OTHERS = "boot the kernel that it loads; UEFI itself is OVMF's work"
INITRD_UNIT = 4  # an archive of an initrd starts at a multiple of it


class EfiError(Exception):
    """An EFI application is damaged, or is for another machine."""


@dataclass(frozen=True)
class Efi:
    """An EFI application: its machine, the names of its sections, and the bytes of those of
    PARTS. Of two sections of a name the first counts, as for systemd's stub."""

    machine: str
    sections: list[str]
    parts: dict[str, bytes]

    @property
    def is_uki(self) -> bool:
        """Whether it is a unified kernel image."""
        return KERNEL in self.parts

    @property
    def initrd(self) -> bytes:
        """The microcode and the initrd, as the kernel takes them; empty without."""
        microcode = padded(self.parts.get(".ucode", b""), INITRD_UNIT)
        return microcode + self.parts.get(".initrd", b"")

    def text(self, name: str) -> str:
        """A part that is text, up to a zero; bytes that are none stand for themselves."""
        text = self.parts.get(name, b"").partition(b"\0")[0]
        return text.decode("utf-8", "surrogateescape").strip()

    @property
    def system(self) -> str:
        """The operating system's name, of its os-release; "" without."""
        lines = (line.partition("=") for line in self.text(".osrel").splitlines())
        values = {key: value.strip("\"'") for key, _, value in lines}
        return values.get("PRETTY_NAME") or values.get("NAME", "")


def is_efi(data: bytes) -> bool:
    """Whether a file that is no bzImage starts as an EFI application does."""
    return data.startswith(MAGIC)


def parse_efi(data: bytes) -> Efi:
    """The EFI application in a file that is_efi() knows. Raises EfiError."""
    import pefile  # noqa: PLC0415 (slow, and for few files)

    try:
        found = pefile.PE(data=data, fast_load=True)
    except pefile.PEFormatError as error:
        raise EfiError(f"no PE file: {str(error).strip(chr(39))}") from None
    machine = found.FILE_HEADER.Machine
    if machine not in MACHINES:
        raise EfiError(f"an EFI application for another machine ({machine:#x})")
    first: dict[str, Any] = {}
    for section in found.sections:
        first.setdefault(section.Name.rstrip(b"\0").decode("ascii", "replace"), section)
    spans = {name: _span(name, first[name], len(data)) for name in PARTS if name in first}
    _check_overlaps(spans)
    for name in TEXTS:
        start, end = spans.get(name, (0, 0))
        if end - start > TEXT_MAX:
            raise EfiError(f"the section {name} has more than {TEXT_MAX >> 10} KiB of text")
    parts = {name: data[start:end] for name, (start, end) in spans.items()}
    return Efi(MACHINES[machine], list(first), parts)


def read_uki(data: bytes, path: Path) -> Efi:
    """The UKI in a file that is_efi() knows. Raises FwbuildError, which names `path`."""
    try:
        found = parse_efi(data)
    except EfiError as error:
        hint = "objdump -h shows its sections"
        raise FwbuildError(ExitCode.KERNEL, str(error), where=str(path), hint=hint) from None
    if not found.is_uki:
        what = "an EFI application without a kernel in it (a section .linux)"
        raise FwbuildError(ExitCode.KERNEL, what, where=str(path), hint=OTHERS)
    return found


def _span(name: str, section: Any, size: int) -> tuple[int, int]:
    """Where a section's bytes lie in a file of `size` bytes: less than the section where the
    linker has filled it up."""
    start = section.PointerToRawData
    end = start + min(section.SizeOfRawData, section.Misc_VirtualSize)
    if end > size:
        raise EfiError(f"the section {name} passes the end of the file")
    return start, end


def _check_overlaps(spans: dict[str, tuple[int, int]]) -> None:
    ordered = sorted((start, end, name) for name, (start, end) in spans.items() if start < end)
    for (_, end, name), (start, _, after) in pairwise(ordered):
        if start < end:
            raise EfiError(f"the sections {name} and {after} overlap")
