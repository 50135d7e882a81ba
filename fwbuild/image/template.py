"""Image templates: TOML files that say which machines and boot protocols an image serves."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import MACHINES
from fwbuild.image.sources import data_dir

PROTOCOLS = ("pvh", "linux", "linux16", "multiboot")
PCI = ("full", "none")
# Options that are on or off; one that a template does not name is off.
SWITCHES = ("modules", "mptable", "pic", "trace", "wake_cpus")
DEFAULT = "universal"


@dataclass(frozen=True)
class Template:
    """A template's content.

    pci:    "full" gives PCI's functions their addresses, "none" leaves that to the kernel.
    pic:    whether the 8259 interrupt controllers are initialised.
    budget: the most bytes that the image may use.
    """

    name: str
    what: str
    machines: tuple[str, ...]
    protocols: tuple[str, ...]
    pci: str
    switches: frozenset[str]
    budget: int

    def symbols(self) -> dict[str, int]:
        """What `.if` in the assembly may ask: `machine.NAME`, `protocol.NAME`, `option.NAME` and
        `pci.full`, 0 or 1."""
        found = {f"machine.{m}": int(m in self.machines) for m in MACHINES}
        found |= {f"option.{s}": int(s in self.switches) for s in SWITCHES}
        found["pci.full"] = int(self.pci == "full")
        return found | {f"protocol.{p}": int(p in self.protocols) for p in PROTOCOLS}


def names() -> list[str]:
    """The templates that fwbuild brings."""
    return sorted(path.stem for path in data_dir("templates").glob("*.toml"))


def load(name: str) -> Template:
    """A template by its name, or by the path of a TOML file."""
    path = Path(name) if name.endswith(".toml") else data_dir("templates") / f"{name}.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FwbuildError(
            ExitCode.TEMPLATE, f"no template '{name}'", hint=f"there are {', '.join(names())}"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FwbuildError(ExitCode.TEMPLATE, str(error), where=str(path)) from None
    return _checked(data, path)


def _checked(data: dict[str, object], path: Path) -> Template:
    allowed = {"what": str, "machines": list, "protocols": list, "pci": str, "budget": int}
    allowed |= dict.fromkeys(SWITCHES, bool)
    for key, value in data.items():
        if type(value) is not allowed.get(key):  # a TOML boolean is an int to isinstance
            raise FwbuildError(
                ExitCode.TEMPLATE,
                f"bad key '{key}'",
                where=str(path),
                hint=f"keys are {', '.join(allowed)}",
            )
    for key, known in (("machines", MACHINES), ("protocols", PROTOCOLS)):
        values = data.get(key)
        if not isinstance(values, list) or not values or any(v not in known for v in values):
            raise FwbuildError(
                ExitCode.TEMPLATE,
                f"bad or missing '{key}'",
                where=str(path),
                hint=f"a list of {', '.join(known)}",
            )
    pci = str(data.get("pci", "none"))
    if pci not in PCI:
        raise FwbuildError(
            ExitCode.TEMPLATE, "bad 'pci'", where=str(path), hint=f"one of {', '.join(PCI)}"
        )
    machines, protocols = data["machines"], data["protocols"]
    assert isinstance(machines, list) and isinstance(protocols, list)
    if "linux16" in protocols and "linux" not in protocols:
        raise FwbuildError(
            ExitCode.TEMPLATE,
            "'protocols' has linux16 without linux",
            where=str(path),
            hint="the two tell bzImages apart",
        )
    budget = data.get("budget", 0x10000)
    assert isinstance(budget, int)
    switches = frozenset(name for name in SWITCHES if data.get(name))
    return Template(
        path.stem,
        str(data.get("what", "")),
        tuple(machines),
        tuple(protocols),
        pci,
        switches,
        budget,
    )
