"""The offer of a real QEMU through fw_cfg and PCI, kept as JSON so that no QEMU is needed to
emulate it.

QEMU builds the ACPI files when they are first read, from what the chipset's registers hold
then. A recording's are those of a chipset that was programmed first, with the writes that its
family of machines declares. Base address registers are as at reset.
"""

import base64
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from fwbuild import machines
from fwbuild.abi import e820, pci
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import file_names
from fwbuild.guest import Guest
from fwbuild.machines import MachineFamily
from fwbuild.sizes import MIB

PACKAGED = Path(__file__).parent / "recordings"  # a folder for each release of QEMU


@dataclass(frozen=True)
class File:
    """A fw_cfg file: its directory entry's key and size, and its content. Option ROMs are
    recorded without content: no firmware of ours reads them."""

    name: str
    select: int
    size: int
    data: bytes


@dataclass(frozen=True)
class PciFunction:
    """A PCI function at reset. `root` is the number of its root bus, `path` the device and
    function number of each bridge on the way to it, and its own. `config` is 256 bytes, or 4096
    of an express function; `mask` has the bits that a write changes."""

    root: int
    path: tuple[int, ...]
    config: bytes
    mask: bytes

    @property
    def place(self) -> str:
        """As text: "00:1c.0/00.0" is function 0 on the bus downstream of root bus 0's
        bridge 1c.0."""
        steps = (f"{d >> pci.DEVFN_DEVICE_SHIFT:02x}.{d % pci.FUNCTIONS}" for d in self.path)
        return f"{self.root:02x}:" + "/".join(steps)

    @property
    def is_bridge(self) -> bool:
        return bool(pci.HEADER.parse(self.config).type & pci.TYPE_MASK == pci.TYPE_BRIDGE)

    @classmethod
    def at(cls, place: str, config: bytes, mask: bytes) -> "PciFunction":
        """The function whose `place` is given."""
        root, _, steps = place.partition(":")
        numbers = (step.split(".") for step in steps.split("/"))
        path = (int(d, 16) << pci.DEVFN_DEVICE_SHIFT | int(f) for d, f in numbers)
        return cls(int(root, 16), tuple(path), config, mask)


@dataclass(kw_only=True)
class Recording:
    """One QEMU's fw_cfg and PCI. `memory` is in bytes; `extra` are further arguments it ran
    with; `keys` are the numeric items that do not depend on the kernel (little-endian bytes);
    `files` are in directory order; of `pci`, a bridge comes before its devices; `cmos` are
    the 128 bytes at ports 0x70 and 0x71, the time zeroed, none without a clock."""

    qemu: str
    machine: str
    memory: int
    smp: int
    accel: str
    keys: dict[int, bytes] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    extra: tuple[str, ...] = ()
    pci: list[PciFunction] = field(default_factory=list)
    cmos: bytes = b""

    @property
    def family(self) -> MachineFamily:
        """The family of its machine type. Raises FwbuildError for one without."""
        return machines.of(self.machine)

    def file(self, name: str) -> File | None:
        """The file of that name."""
        return next((f for f in self.files if f.name == name), None)

    def with_files(self, files: dict[str, bytes]) -> "Recording":
        """The same host with these files, in the place of those of the same name."""
        kept = [f for f in self.files if f.name not in files]
        first = 1 + max(f.select for f in self.files)
        new = [File(n, first + i, len(d), d) for i, (n, d) in enumerate(files.items())]
        return replace(self, files=kept + new)

    def memmap(self) -> list[Any]:
        """The entries of etc/e820, as e820.ENTRY parses them."""
        found = self.file(file_names.E820)
        size = e820.ENTRY.sizeof()
        data = found.data if found else b""
        whole = len(data) - len(data) % size
        return [e820.ENTRY.parse(data[i : i + size]) for i in range(0, whole, size)]

    def ram(self) -> list[tuple[int, int]]:
        """(address, size) in bytes of each range of RAM, by etc/e820."""
        return [(e.addr, e.size) for e in self.memmap() if e.type == e820.Type.RAM]

    def to_json(self) -> str:
        """The recording as text, the same for the same content."""
        plain: dict[str, Any] = {
            "qemu": self.qemu,
            "machine": self.machine,
            "memory": self.memory,
            "smp": self.smp,
            "accel": self.accel,
            "extra": list(self.extra),
            "keys": {f"{k:#04x}": v.hex() for k, v in sorted(self.keys.items())},
            "files": [
                {"name": f.name, "select": f.select, "size": f.size, "data": _pack(f.data)}
                for f in self.files
            ],
            "pci": [
                {"place": f.place, "config": _pack(f.config), "mask": _pack(f.mask)}
                for f in self.pci
            ],
            "cmos": _pack(self.cmos),
        }
        return json.dumps(plain, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Recording":
        """The recording that to_json() wrote. One from before PCI was recorded has none."""
        plain = json.loads(text)
        keys = {int(k, 0): bytes.fromhex(v) for k, v in plain.pop("keys").items()}
        files = [File(**{**f, "data": _unpack(f["data"])}) for f in plain.pop("files")]
        functions = [
            PciFunction.at(f["place"], _unpack(f["config"]), _unpack(f["mask"]))
            for f in plain.pop("pci", [])
        ]
        cmos = _unpack(plain.pop("cmos")) if "cmos" in plain else b""
        extra = tuple(plain.pop("extra", ()))
        return cls(**plain, keys=keys, files=files, extra=extra, pci=functions, cmos=cmos)

    def has_ram(self, address: int, size: int) -> bool:
        """Whether `size` bytes at `address` lie in one range of RAM."""
        return any(a <= address and address + size <= a + s for a, s in self.ram())


def _pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _unpack(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def load(path: Path) -> Recording:
    """Read a recording from a file."""
    try:
        recording = Recording.from_json(path.read_text(encoding="utf-8"))
        if not recording.ram():
            raise ValueError("it has no RAM in etc/e820")
        _check_pci(recording.pci)
        return recording
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise FwbuildError(
            ExitCode.INPUT,
            f"no recording: {error}",
            where=str(path),
            hint="make one with `fwbuild record --out FILE`",
        ) from None


def _check_pci(functions: list[PciFunction]) -> None:
    """Raise ValueError for a function of unknown size, or one without its bridge."""
    bridges: set[tuple[int, tuple[int, ...]]] = set()
    for f in functions:
        if len(f.config) not in (pci.CONFIG_SIZE, pci.ECAM_FUNCTION_SIZE):
            raise ValueError(f"PCI function {f.place} has {len(f.config)} bytes")
        if len(f.path) > 1 and (f.root, f.path[:-1]) not in bridges:
            raise ValueError(f"PCI function {f.place} has no bridge that comes before it")
        if f.is_bridge:
            bridges.add((f.root, f.path))


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
