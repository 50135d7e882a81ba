"""Fuzzes what reads files, led by the coverage of its Python: `make fuzz-files SECONDS=60`.

It needs the package atheris. Whatever a file holds, its readers give a result or their own error;
libFuzzer, which atheris runs, keeps what raises another, takes 20 s or 1 GiB.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["fwbuild"]):
    from fwbuild import protocols
    from fwbuild.bake.read import baked_guest, check_pieces
    from fwbuild.bench.kernel import symbol
    from fwbuild.emulator import recording
    from fwbuild.errors import FwbuildError
    from fwbuild.guest import RAM_FILE, Guest
    from fwbuild.image.build import build_image
    from fwbuild.image.template import Template
    from fwbuild.inspection import inspect
    from fwbuild.kernel.decompress import PayloadError, decompress
    from fwbuild.kernel.elf_file import ElfError, LimitError, read_elf

from fwbuild.bake.write import DESCRIPTION
from fwbuild.payloads import test_kernel
from tests.support.bzimages import PROGRAMS, bzimage, compress
from tests.support.efi import uki
from tests.support.multiboot import by_header, by_header2, multiboot1
from tests.support.vmlinux64 import vmlinux64

OFFER = recording.find(Guest())
GUESTS = (Guest(), Guest(firmware_loads=True))
TEMPLATE = b'extends = "linux"\npci = "full"\nmachines = ["pc", "q35"]\nbudget = 8000\n'
IMAGE = build_image().image
SECTION = {"name": "a", "address": 0xFFFFFFF0, "size": 3, "kind": "routine"}
RAM = bytes(4096)
PIECE = {"address": 0, "size": len(RAM), "sha256": sha256(RAM).hexdigest()}


def seeds() -> Iterator[bytes]:
    """A file of each kind, to be damaged."""
    vmlinux = test_kernel.build_test_kernel()
    yield from (vmlinux, test_kernel.build_test_kernel(8), vmlinux64())
    yield from (test_kernel.build_test_bzimage(), test_kernel.build_test_bzimage16())
    yield from (test_kernel.build_test_multiboot(), multiboot1(), by_header(), by_header2())
    for name in PROGRAMS:
        payload = compress(name, vmlinux)
        yield from (payload, bzimage(payload))
    parts = {".linux": bzimage(compress("gzip", vmlinux)), ".cmdline": b"a b", ".initrd": b"i"}
    yield uki(parts | {".osrel": b'PRETTY_NAME="Test"\n', ".uname": b"6.1"})
    yield TEMPLATE
    yield b'{"machine": "pc", "memory": 536870912, "smp": 2}'
    yield json.dumps({"pieces": [PIECE]}).encode()
    yield json.dumps({"sha256": sha256(IMAGE).hexdigest(), "rom": [SECTION]}).encode()
    yield from (path.read_bytes() for path in recording.packaged() if path.stat().st_size < 4096)


def kernel(data: bytes) -> None:
    """Read a file as every kind of kernel, and as a kernel's payload."""
    with suppress(FwbuildError):
        inspect(data, Path("file"))
    for guest in GUESTS:
        with suppress(FwbuildError):
            protocols.load(guest, OFFER, data)
    with suppress(PayloadError):
        decompress(data)
    with suppress(ElfError, LimitError):
        symbol(read_elf(data), "start_kernel")


def text(data: bytes, folder: Path) -> None:
    """Read a file as a template, as a recording, and as what describes a baked guest or an
    image."""
    path = folder / "file.toml"
    path.write_bytes(data)
    (folder / DESCRIPTION).write_bytes(data)
    with suppress(FwbuildError):
        baked_guest(folder, Guest())
    with suppress(FwbuildError):
        check_pieces(folder)
    path.with_suffix(".json").write_bytes(data)
    inspect(IMAGE, path.with_suffix(".bin"))
    for read in (Template.load, recording.load):
        with suppress(FwbuildError):
            read(path)


def main() -> None:
    """Fuzz with libFuzzer's arguments."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        corpus = folder / "corpus"
        corpus.mkdir()
        (folder / RAM_FILE).write_bytes(RAM)
        for i, seed in enumerate(seeds()):
            (corpus / str(i)).write_bytes(seed)
        limits = ["-timeout=20", "-rss_limit_mb=1024", "-max_len=8192"]

        def one(data: bytes) -> None:
            kernel(data)
            text(data, folder)

        atheris.Setup([sys.argv[0], *limits, *sys.argv[1:], str(corpus)], one)
        atheris.Fuzz()  # ends the process


if __name__ == "__main__":
    main()
