"""Takes the vmlinux out of a bzImage."""

from pathlib import Path

from fwbuild.abi import linux_boot, offsets
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.kernel.decompress import PayloadError, decompress
from fwbuild.kernel.vmlinux import read_file

ELF_MAGIC = b"\x7fELF"


def is_bzimage(data: bytes) -> bool:
    """Whether QEMU takes a file for a bzImage: by nothing but the header's magic."""
    at = offsets(linux_boot.SETUP_HEADER)["header"]
    return data[at:].startswith(linux_boot.HEADER_MAGIC)


def extract_vmlinux(path: Path) -> tuple[str, bytes]:
    """(compression, the ELF file) inside a bzImage."""
    data = read_file(path)
    if len(data) < linux_boot.SETUP_HEADER.sizeof():
        raise _error(path, "too short for a bzImage")
    header = linux_boot.SETUP_HEADER.parse(data)
    if not is_bzimage(data):
        what = "is an ELF file already" if data.startswith(ELF_MAGIC) else "no bzImage"
        raise _error(path, what, "boot a vmlinux as it is" if "ELF" in what else "")
    if header.version < linux_boot.PROTOCOL_PAYLOAD:
        raise _error(path, f"boot protocol {header.version:#x} does not tell where the kernel is")
    sectors = header.setup_sects or linux_boot.SETUP_SECTS_DEFAULT
    start = (sectors + 1) * linux_boot.SECTOR + header.payload_offset
    payload = data[start : start + header.payload_length]
    if len(payload) < header.payload_length or len(payload) < 8:
        raise _error(path, "cut short inside the payload", "copy the file again")
    try:
        name, vmlinux = decompress(payload)
    except PayloadError as error:
        raise _error(path, str(error), "the file is damaged") from None
    if not vmlinux.startswith(ELF_MAGIC):
        raise _error(path, "the payload is no ELF file")
    return name, vmlinux


def _error(path: Path, what: str, hint: str = "") -> FwbuildError:
    return FwbuildError(ExitCode.KERNEL, what, where=str(path), hint=hint)
