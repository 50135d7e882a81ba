"""Makes bzImages around a payload, and compresses with programs that fwbuild does not use."""

import shutil
import subprocess

from fwbuild.abi import linux_boot
from tests.conftest import need

# What Linux's scripts/Makefile.lib runs for each CONFIG_KERNEL_*, and Debian's package of it.
PROGRAMS = {
    "gzip": ("gzip -n -9", "gzip"),
    "bzip2": ("bzip2 -9", "bzip2"),
    "lzma": ("lzma -9", "xz-utils"),
    "xz": ("xz --check=crc32 --x86 --lzma2=preset=6,dict=32MiB", "xz-utils"),
    "lzo": ("lzop -9", "lzop"),
    "lz4": ("lz4 -l -9", "lz4"),
    "zstd": ("zstd -q -22 --ultra", "zstd"),
}


def compress(name: str, data: bytes) -> bytes:
    """A payload: the compressed data, and its size where the format does not end in it."""
    command, package = PROGRAMS[name]
    program, *options = command.split()
    if not shutil.which(program):
        need(f"{program} (package {package})")
    done = subprocess.run([program, *options, "-c"], input=data, capture_output=True, check=True)
    return done.stdout + (b"" if name == "gzip" else len(data).to_bytes(4, "little"))


def bzimage(payload: bytes, **fields: int) -> bytes:
    """A bzImage whose setup code is one empty sector; `fields` of the header stand in for what
    a modern kernel says."""
    header = linux_boot.SETUP_HEADER.parse(bytes(linux_boot.SETUP_HEADER.sizeof()))
    header.update(
        {
            "setup_sects": 1,
            "boot_flag": linux_boot.BOOT_FLAG,
            "header": linux_boot.HEADER_MAGIC,
            "version": linux_boot.PROTOCOL_NEWEST,
            "loadflags": linux_boot.LoadFlag.LOADED_HIGH,
            "payload_offset": 16,
            "payload_length": len(payload),
        }
        | fields
    )
    built = bytes(linux_boot.SETUP_HEADER.build(header))
    return built.ljust(2 * linux_boot.SECTOR, b"\0") + bytes(16) + payload + b"tail"
