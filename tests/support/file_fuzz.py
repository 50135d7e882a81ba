"""Fuzzes what reads files, led by the coverage of its Python: `make fuzz-files SECONDS=60`.

It needs the package atheris. Whatever a file holds, its readers give a result or their own error;
libFuzzer, which atheris runs, keeps what raises another, takes 20 s or 1 GiB.
"""

import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["fwbuild"]):
    from fwbuild import protocols
    from fwbuild.emulator import recording
    from fwbuild.errors import FwbuildError
    from fwbuild.guest import Guest
    from fwbuild.image.template import Template
    from fwbuild.inspection import inspect
    from fwbuild.kernel.decompress import PayloadError, decompress

OFFER = recording.find(Guest())
GUESTS = (Guest(), Guest(firmware_loads=True))
SEEDS = (b"\x7fELF\1\1\1", b"\x7fELF\2\1\1", b"\2\xb0\xad\x1b", bytes(0x202) + b"HdrS\x0f\2")


def kernel(data: bytes) -> None:
    """Read a file as every kind of kernel, and as a kernel's payload."""
    with suppress(FwbuildError):
        inspect(data, Path("file"))
    for guest in GUESTS:
        with suppress(FwbuildError):
            protocols.load(guest, OFFER, data)
    with suppress(PayloadError):
        decompress(data)


def text(data: bytes, folder: Path) -> None:
    """Read a file as a template and as a recording."""
    path = folder / "file.toml"
    path.write_bytes(data)
    for read in (Template.load, recording.load):
        with suppress(FwbuildError):
            read(path)


def main() -> None:
    """Fuzz with libFuzzer's arguments."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        corpus = folder / "corpus"
        corpus.mkdir()
        for i, seed in enumerate(SEEDS):
            (corpus / str(i)).write_bytes(seed.ljust(0x400, b"\0"))
        (corpus / "template").write_bytes(b'extends = "linux"\npci = "full"\n')
        limits = ["-timeout=20", "-rss_limit_mb=1024", "-max_len=8192"]

        def one(data: bytes) -> None:
            kernel(data)
            text(data, folder)

        atheris.Setup([sys.argv[0], *limits, *sys.argv[1:], str(corpus)], one)
        atheris.Fuzz()  # ends the process


if __name__ == "__main__":
    main()
