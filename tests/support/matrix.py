"""The stanzas of tests/matrix.toml."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from fwbuild.guest import Guest
from fwbuild.sizes import MIB
from tests.support.old_ram import old_ram

PATH = Path(__file__).resolve().parents[1] / "matrix.toml"
UNITS = {"M": MIB, "G": 1024 * MIB}
VARIED = ("machine", "cpu", "boot", "form")  # where a list stands for a guest each


@dataclass(frozen=True)
class Stanza:
    """One guest; the fields are explained in the file."""

    machine: str
    memory: str = "512M"
    smp: str = "1"
    cpu: str = ""
    old_ram: bool = False
    arguments: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    initrd: int = 1 << 20
    recorded: bool = False
    templates: tuple[str, ...] = ("universal",)
    entry: bool | str = False
    unassigned: int = 0
    boot: str = ""
    form: str = "vmlinux"
    append: str = ""
    expect: tuple[str, ...] = ()
    windows: bool = False
    plug: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ("5.10", "cloud", "7.2")
    rescan: bool = False
    reboots: int = 0
    since: str = ""
    until: str = ""
    once: str = ""

    def guest(self, **more: Any) -> Guest:
        """The guest to start. -m and -smp with options go with the other arguments, since QEMU
        obeys the last one."""
        size, _, memory_options = self.memory.partition(",")
        cpus, _, cpu_options = self.smp.partition(",")
        extra = [word for device in self.devices for word in ("-device", device)]
        extra[:0] = self.arguments
        extra += ["-m", self.memory] if memory_options else []
        extra += ["-smp", self.smp] if cpu_options else []
        extra += ["-cpu", self.cpu] if self.cpu else []
        memory = int(size[:-1]) * UNITS[size[-1]]
        if self.old_ram:
            file = f"memory-backend-file,id=ram,share=off,size={size},mem-path={old_ram(memory)}"
            extra += ["-object", file, "-machine", "memory-backend=ram"]
        return Guest(self.machine, memory, int(cpus), extra=tuple(extra), **more)

    def count(self, model: str) -> int:
        """How many of `devices` are of a model."""
        return sum(re.match(rf"{model}(,|$)", device) is not None for device in self.devices)


def stanzas() -> dict[str, Stanza]:
    """All of them by name."""
    found = tomllib.loads(PATH.read_text(encoding="utf-8"))
    return {name: _stanza(fields) for stanza in found.items() for name, fields in _guests(*stanza)}


def _stanza(fields: dict[str, Any]) -> Stanza:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    devices = tuple(device for row in fields.get("devices", ()) for device in _devices(row))
    return Stanza(**values | {"devices": devices})


def _devices(row: str | dict[str, Any]) -> Iterator[str]:
    """The devices that an element of `devices` stands for."""
    if isinstance(row, str):
        yield row
    else:
        first, last = row["n"]
        yield from (row["each"].format(n=n) for n in range(first, last + 1))


def _guests(name: str, fields: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, fields) of each guest that a stanza stands for."""
    varied = {key: fields[key] for key in VARIED if isinstance(fields.get(key), list)}
    for values in product(*varied.values()):
        yield "-".join((name, *values)), fields | dict(zip(varied, values, strict=True))


def recorded() -> dict[str, Guest]:
    """The guests that the package has recordings of, by their stanzas' names."""
    return {name: case.guest() for name, case in stanzas().items() if case.recorded}
