"""The offer of a real QEMU through fw_cfg and PCI, kept as JSON so that no QEMU is needed to
emulate it.

QEMU builds the ACPI files when they are first read, from what the chipset's registers hold
then. A recording's are those of a chipset that was programmed first, with the writes that its
family of machines declares. Base address registers are as at reset.
"""

import json
import zlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from fwbuild.emulator.recorded import File, PciFunction, Recording
from fwbuild.emulator.recording_check import check
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import read_file
from fwbuild.guest import Guest
from fwbuild.json_text import parse
from fwbuild.sizes import MIB

TEXT_MAX = 16 << 20  # bytes of a file; those of a QEMU take some 100 KiB
DAMAGED = (ValueError, OverflowError, zlib.error)

PACKAGED = Path(__file__).parent / "recordings"  # a folder for each release of QEMU


def load(path: Path) -> Recording:
    """Read a recording from a file. Raises FwbuildError."""
    text = read_file(path, TEXT_MAX)
    try:
        recording = Recording.from_plain(parse(text))
        check(recording)
        return recording
    except KeyError as error:
        what = f"it has no {error}"
    except FwbuildError as error:  # of its machine type
        what = error.what
    except (TypeError, AttributeError):
        what = "it is not of the form that `fwbuild record` writes"
    except DAMAGED as error:
        what = str(error)
    hint = "make one with `fwbuild record --out FILE`"
    raise FwbuildError(ExitCode.INPUT, f"no recording: {what}", where=str(path), hint=hint)


def series(version: str) -> str:
    """The release that a version of QEMU belongs to: "7.2" of "7.2.22"."""
    return ".".join(version.split(".")[:2])


def _number(name: str) -> list[int]:
    return [int(part) for part in name.split(".")]


def packaged_series() -> list[str]:
    """The releases of QEMU that the package has recordings of, the newest first."""
    return sorted((path.name for path in PACKAGED.iterdir()), key=_number, reverse=True)


def packaged() -> list[Path]:
    """The packaged recordings."""
    return sorted(PACKAGED.glob("*/*.json"))


def by_guest(paths: Iterable[Path]) -> dict[tuple[object, ...], Path]:
    """Recordings by release of QEMU, and by what tells guests apart. Raises FwbuildError where
    two are of one guest and release."""
    found: dict[tuple[object, ...], Path] = {}
    for path in paths:
        plain = json.loads(path.read_text(encoding="utf-8"))
        guest = (plain[key] for key in ("machine", "memory", "smp", "accel"))
        key = (series(plain["qemu"]), *guest, tuple(plain["extra"]))
        if other := found.get(key):
            what = f"it is of the same guest and QEMU {key[0]} as {other}"
            raise FwbuildError(ExitCode.INPUT, what, where=str(path), hint="delete one")
        found[key] = path
    return found


@cache
def _packaged() -> dict[tuple[object, ...], Path]:
    return by_guest(packaged())


def find(guest: Guest, release: str | None = None) -> Recording:
    """The packaged recording for a guest: the same machine, memory, CPUs, accelerator and
    further arguments, of a release of QEMU, or of the newest that there is."""
    wanted = (guest.machine, guest.memory, guest.smp, guest.accel, guest.extra)
    for name in [release] if release else packaged_series():
        if path := _packaged().get((name, *wanted)):
            return load(path)
    what = f"no recording of {guest.machine} with {guest.memory // MIB} MiB and {guest.smp} CPUs"
    more = ["and", *guest.extra] if guest.extra else []
    more += ["by QEMU", release] if release else []
    raise FwbuildError(
        ExitCode.INPUT,
        " ".join([what, *more]),
        hint="make one with `fwbuild record --out FILE` and give it with --recording FILE",
    )


__all__ = [
    "File", "PciFunction", "Recording", "by_guest", "find", "load", "packaged", "packaged_series",
    "series",
]  # fmt: skip
