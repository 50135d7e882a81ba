"""A recording: the offer of a QEMU through fw_cfg and PCI, as data and as JSON."""

import base64
import json
import zlib
from dataclasses import dataclass, field, replace
from typing import Any

from fwbuild import json_text, machines
from fwbuild.abi import e820, pci
from fwbuild.firmware import file_names
from fwbuild.machines import MachineFamily

CONTENT_MAX = 64 << 20  # bytes of all contents together; those of a QEMU take about one MiB


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
                {"name": f.name, "select": f.select, "size": f.size, "data": pack(f.data)}
                for f in self.files
            ],
            "pci": [
                {"place": f.place, "config": pack(f.config), "mask": pack(f.mask)} for f in self.pci
            ],
            "cmos": pack(self.cmos),
        }
        return json.dumps(plain, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Recording":
        """The recording that to_json() wrote, not checked any further. One from before PCI was
        recorded has none. Raises an error of many kinds for another text."""
        return cls.from_plain(json_text.parse(text.encode()))

    @classmethod
    def from_plain(cls, plain: Any) -> "Recording":
        """The same of what the text holds, which is taken apart."""
        unpack = Contents().unpack
        keys = {int(k, 0): bytes.fromhex(v) for k, v in plain.pop("keys").items()}
        files = [File(**{**f, "data": unpack(f["data"])}) for f in plain.pop("files")]
        functions = [
            PciFunction.at(f["place"], unpack(f["config"]), unpack(f["mask"]))
            for f in plain.pop("pci", [])
        ]
        cmos = unpack(plain.pop("cmos")) if "cmos" in plain else b""
        extra = tuple(plain.pop("extra", ()))
        return cls(**plain, keys=keys, files=files, extra=extra, pci=functions, cmos=cmos)

    def has_ram(self, address: int, size: int) -> bool:
        """Whether `size` bytes at `address` lie in one range of RAM."""
        return any(a <= address and address + size <= a + s for a, s in self.ram())


class Contents:
    """Unpacks the contents of a recording, CONTENT_MAX bytes in all."""

    def __init__(self) -> None:
        self._left = CONTENT_MAX

    def unpack(self, text: str) -> bytes:
        """The bytes that are packed in a text. Raises ValueError."""
        stream = zlib.decompressobj()
        found = stream.decompress(base64.b64decode(text), self._left + 1)
        if len(found) > self._left:
            raise ValueError(f"its contents take more than {CONTENT_MAX >> 20} MiB")
        if not stream.eof:
            raise ValueError("a content is cut short")
        self._left -= len(found)
        return found


def pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()
