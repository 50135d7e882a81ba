"""The stanzas of tests/matrix.toml."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from fwbuild.guest import MIB, Guest

PATH = Path(__file__).resolve().parents[1] / "matrix.toml"
UNITS = {"M": MIB, "G": 1024 * MIB}


@dataclass(frozen=True)
class Stanza:
    """One guest; the fields are explained in the file."""

    machine: str
    memory: str = "512M"
    smp: str = "1"
    arguments: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    initrd: int = 1 << 20
    recorded: bool = False
    templates: tuple[str, ...] = ("universal",)
    entry: bool | str = False
    unassigned: int = 0
    boot: str = ""
    append: str = ""
    expect: tuple[str, ...] = ()
    windows: bool = False
    plug: tuple[str, ...] = ()
    reboots: int = 0

    def guest(self, **more: object) -> Guest:
        """What QEMU is asked for. -m and -smp with options go with the other arguments: QEMU
        takes the last word on them."""
        size, _, memory_options = self.memory.partition(",")
        cpus, _, cpu_options = self.smp.partition(",")
        extra = [word for device in self.devices for word in ("-device", device)]
        extra[:0] = self.arguments
        extra += ["-m", self.memory] if memory_options else []
        extra += ["-smp", self.smp] if cpu_options else []
        return Guest(self.machine, int(size[:-1]) * UNITS[size[-1]], int(cpus),
                     extra=tuple(extra), **more)  # type: ignore[arg-type]  # fmt: skip

    def count(self, model: str) -> int:
        """How many of `devices` are of a model."""
        return sum(re.match(rf"{model}(,|$)", device) is not None for device in self.devices)


def stanzas() -> dict[str, Stanza]:
    """All of them by name."""
    found = tomllib.loads(PATH.read_text(encoding="utf-8"))
    return {
        name: Stanza(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
        for name, fields in found.items()
    }


def recorded() -> dict[str, Guest]:
    """The guests that the package has recordings of, by their stanzas' names."""
    return {name: case.guest() for name, case in stanzas().items() if case.recorded}
