"""Reads a bzImage: its header, and the vmlinux inside it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fwbuild.abi import elf, linux_boot, offsets
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import read_file
from fwbuild.kernel.decompress import PayloadError, decompress
from fwbuild.kernel.elf_file import ElfError, LimitError
from fwbuild.kernel.vmlinux import Elf, parse_elf

HEADER_SIZE = linux_boot.SETUP_HEADER.sizeof()
PARAGRAPH = 16
PAYLOAD_MIN = 8  # a magic, and the size at its end


@dataclass(frozen=True)
class Bzimage:
    """A bzImage: `header` is its linux_boot.SETUP_HEADER, which tells by `version` which of its
    fields the kernel has."""

    data: bytes
    header: Any

    @property
    def setup_size(self) -> int:
        """Bytes of the boot sector and the setup code, which come before the kernel proper."""
        sectors = self.header.setup_sects or linux_boot.SETUP_SECTS_DEFAULT
        return int((sectors + 1) * linux_boot.SECTOR)

    @property
    def release(self) -> str:
        """The kernel's version in words; "" if it does not say."""
        start = self.header.kernel_version + linux_boot.SECTOR
        if not self.header.kernel_version or start >= self.setup_size:
            return ""
        text = self.data[start : self.setup_size].partition(b"\0")[0]
        return text.decode("ascii", "replace")

    @property
    def payload(self) -> bytes:
        """The compressed kernel with its size at the end. PayloadError without one."""
        if self.header.version < linux_boot.PROTOCOL_PAYLOAD:
            version = version_text(self.header.version)
            raise PayloadError(f"boot protocol {version} does not tell where the kernel is")
        if not self.header.payload_length:
            raise PayloadError("it has no payload")
        start = self.setup_size + self.header.payload_offset
        found = self.data[start : start + self.header.payload_length]
        if len(found) < max(self.header.payload_length, PAYLOAD_MIN):
            raise PayloadError("cut short inside the payload")
        return found

    @property
    def cut_short(self) -> bool:
        """Whether the file ends before the size that its header tells, rounded up there."""
        size = self.setup_size
        if self.header.version >= linux_boot.PROTOCOL_SYSSIZE:
            size += max(self.header.syssize * PARAGRAPH - (PARAGRAPH - 1), 0)
        return len(self.data) < size


def version_text(version: int) -> str:
    """A boot protocol's version as the documents write it ("2.15")."""
    return f"{version >> 8}.{version & 0xFF:02}"


def is_bzimage(data: bytes) -> bool:
    """Whether QEMU takes a file for a bzImage: by nothing but the header's magic."""
    at = offsets(linux_boot.SETUP_HEADER)["header"]
    return data[at:].startswith(linux_boot.HEADER_MAGIC)


def parse_bzimage(data: bytes) -> Bzimage:
    """The bzImage in a file that is_bzimage() knows."""
    start = data[:HEADER_SIZE].ljust(HEADER_SIZE, b"\0")
    return Bzimage(data, linux_boot.SETUP_HEADER.parse(start))


def unpack(image: Bzimage) -> tuple[str, bytes, Elf]:
    """(compression, the file, what it is) of the vmlinux inside; PayloadError tells why there
    is none."""
    name, vmlinux = decompress(image.payload)
    try:
        return name, vmlinux, parse_elf(vmlinux)
    except LimitError as error:
        raise PayloadError(f"the payload is beyond fwbuild's limits: {error}") from None
    except ElfError as error:
        raise PayloadError(f"the payload has no ELF file to boot: {error}") from None


def extract_vmlinux(path: Path) -> tuple[str, bytes, Elf]:
    """The result of unpack() for a file that has to be a bzImage."""
    return extract_from(read_file(path), path)


def extract_from(data: bytes, path: Path) -> tuple[str, bytes, Elf]:
    """The same of a file's bytes; errors name `path`."""
    if not is_bzimage(data):
        if data.startswith(elf.MAGIC):
            raise _error(path, "is an ELF file already", "boot a vmlinux as it is")
        raise _error(path, "no bzImage", "`fwbuild inspect` tells what it is")
    try:
        return unpack(parse_bzimage(data))
    except PayloadError as error:
        raise _error(path, str(error), "the file is damaged, or no Linux") from None


def _error(path: Path, what: str, hint: str) -> FwbuildError:
    return FwbuildError(ExitCode.KERNEL, what, where=str(path), hint=hint)
