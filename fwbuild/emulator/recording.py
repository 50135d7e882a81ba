"""What a real QEMU offers through fw_cfg, kept as JSON so that no QEMU is needed to emulate it."""

import base64
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fwbuild.abi import e820
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import MIB, Guest

PACKAGED = Path(__file__).parent / "recordings"


@dataclass(frozen=True)
class File:
    """A fw_cfg file: its directory entry's key and size, and its content. Option ROMs are
    recorded without content: no firmware of ours reads them."""

    name: str
    select: int
    size: int
    data: bytes


@dataclass
class Recording:
    """One QEMU's fw_cfg. `memory` is in bytes; `keys` are the numeric items that do not
    depend on the kernel (little-endian bytes); `files` are in directory order."""

    qemu: str
    machine: str
    memory: int
    smp: int
    accel: str
    keys: dict[int, bytes] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)

    def file(self, name: str) -> File | None:
        """The file of that name."""
        return next((f for f in self.files if f.name == name), None)

    def memmap(self) -> list[Any]:
        """The entries of etc/e820, as e820.ENTRY parses them."""
        found = self.file(e820.FILE_NAME)
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
            "keys": {f"{k:#04x}": v.hex() for k, v in sorted(self.keys.items())},
            "files": [
                {"name": f.name, "select": f.select, "size": f.size, "data": _pack(f.data)}
                for f in self.files
            ],
        }  # fmt: skip
        return json.dumps(plain, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Recording":
        """The recording that to_json() wrote."""
        plain = json.loads(text)
        keys = {int(k, 0): bytes.fromhex(v) for k, v in plain.pop("keys").items()}
        files = [File(**{**f, "data": _unpack(f["data"])}) for f in plain.pop("files")]
        return cls(**plain, keys=keys, files=files)

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
        return recording
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise FwbuildError(
            ExitCode.INPUT, f"no recording: {error}", where=str(path),
            hint="make one with `fwbuild record --out FILE`",
        ) from None  # fmt: skip


def find(guest: Guest) -> Recording:
    """The packaged recording for a guest: same machine, memory, CPUs and accelerator."""
    wanted = (guest.machine, guest.memory, guest.smp, guest.accel)
    for path in sorted(PACKAGED.glob("*.json")):
        recording = load(path)
        if (recording.machine, recording.memory, recording.smp, recording.accel) == wanted:
            return recording
    raise FwbuildError(
        ExitCode.INPUT,
        f"no recording of {guest.machine} with {guest.memory // MIB} MiB and {guest.smp} CPUs",
        hint="make one with `fwbuild record --out FILE` and give it with --recording FILE",
    )
