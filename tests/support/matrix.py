"""The stanzas of tests/matrix.toml."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from fwbuild.guest import Guest

PATH = Path(__file__).resolve().parents[1] / "matrix.toml"


@dataclass(frozen=True)
class Stanza:
    """One guest; the fields are explained in the file."""

    machine: str
    memory: str = "512M"
    smp: str = "1"
    devices: tuple[str, ...] = ()
    initrd: int = 1 << 20
    entry: bool | str = False
    boot: str = ""
    append: str = ""
    expect: tuple[str, ...] = ()

    def guest(self, **more: object) -> Guest:
        """What QEMU is asked for. Memory and CPUs go with the other arguments: QEMU takes the
        last word on them."""
        extra = ("-m", self.memory, "-smp", self.smp, *self.devices)
        cpus = int(self.smp.partition(",")[0])
        return Guest(self.machine, smp=cpus, extra=extra, **more)  # type: ignore[arg-type]


def stanzas() -> dict[str, Stanza]:
    """All of them by name."""
    found = tomllib.loads(PATH.read_text(encoding="utf-8"))
    lists = ("devices", "expect")
    return {
        name: Stanza(**{k: tuple(v) if k in lists else v for k, v in fields.items()})
        for name, fields in found.items()
    }
