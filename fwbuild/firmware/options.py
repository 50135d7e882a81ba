"""The keys of an image template, a row each.

Parsing, hints, `fwbuild build --help`, docs/templates.md and the assembly's `option.*` symbols
all come from these rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum

from fwbuild.machines import MACHINES


class BootProtocol(StrEnum):
    """The ways to enter a kernel that the firmware knows, by their names in templates."""

    PVH = "pvh"
    LINUX = "linux"
    LINUX16 = "linux16"
    LINUX64 = "linux64"
    MULTIBOOT = "multiboot"
    MULTIBOOT2 = "multiboot2"
    PRELOADED = "preloaded"


PROTOCOLS = tuple(str(protocol) for protocol in BootProtocol)
BUDGET_MAX = 0x10000

Value = str | int | bool | tuple[str, ...]


class Kind(Enum):
    """The type of a key's value in TOML."""

    TEXT = "text"
    BYTES = "a number of bytes"
    SWITCH = "true or false"
    CHOICE = "one word"
    LIST = "a list of words"


@dataclass(frozen=True, kw_only=True)
class Option:
    """One key. `values` are the words that a CHOICE or a LIST may have. A key without a
    `default` has to be there."""

    name: str
    kind: Kind
    default: Value | None
    what: str
    values: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """The values that it takes, in words."""
        match self.kind:
            case Kind.CHOICE:
                return f"one of {', '.join(self.values)}"
            case Kind.LIST:
                return f"a list of {', '.join(self.values)}"
        return str(self.kind.value)

    def read(self, value: object) -> Value:
        """The value as TOML or Python has it, checked. Raises ValueError."""
        match self.kind, value:
            case Kind.TEXT, str():
                return value
            case Kind.SWITCH, bool():
                return value
            case Kind.BYTES, int() if not isinstance(value, bool) and 0 < value <= BUDGET_MAX:
                return value
            case Kind.CHOICE, str() if value in self.values:
                return value
            case Kind.LIST, list() | tuple() if value and all(v in self.values for v in value):
                return tuple(value)
        raise ValueError(f"bad '{self.name}'")

    def parse(self, text: str) -> Value:
        """The value as `build --set KEY=VALUE` has it: a list's words are separated by commas.
        Raises ValueError."""
        match self.kind:
            case Kind.SWITCH:
                return self.read({"true": True, "false": False}.get(text))
            case Kind.BYTES:
                return self.read(int(text, 0))
            case Kind.LIST:
                return self.read(text.split(","))
        return self.read(text)

    def symbols(self, value: Value) -> dict[str, int]:
        """The symbols that `.if` in the assembly may ask, 0 or 1 each: `option.NAME` of a switch,
        `option.NAME.WORD` of a choice or a list."""
        prefix = f"option.{self.name}"
        match self.kind:
            case Kind.SWITCH:
                return {prefix: int(bool(value))}
            case Kind.CHOICE:
                return {f"{prefix}.{word}": int(word == value) for word in self.values}
            case Kind.LIST:
                assert isinstance(value, tuple)
                return {f"{prefix}.{word}": int(word in value) for word in self.values}
        return {}


OPTIONS = (
    Option(
        name="what", kind=Kind.TEXT, default="",
        what="a line that says what the image is for",
    ),
    Option(
        name="machines", kind=Kind.LIST, default=None, values=MACHINES,
        what="the machine types that the image starts on",
    ),
    Option(
        name="protocols", kind=Kind.LIST, default=None, values=PROTOCOLS,
        what="the boot protocols by which it enters a kernel; linux16 needs linux, "
             "preloaded is alone",
    ),
    Option(
        name="pci", kind=Kind.CHOICE, default="none", values=("full", "none"),
        what="full: give PCI functions their addresses; none: leave that to the kernel",
    ),
    Option(
        name="pic", kind=Kind.SWITCH, default=False,
        what="initialise the 8259 interrupt controllers",
    ),
    Option(
        name="modules", kind=Kind.SWITCH, default=False,
        what="load the further modules that the user numbers (opt/fwbuild/module/1 to 9)",
    ),
    Option(
        name="kernel_file", kind=Kind.SWITCH, default=False,
        what="where QEMU has no -kernel, load the file opt/fwbuild/kernel; needs modules",
    ),
    Option(
        name="mptable", kind=Kind.SWITCH, default=False,
        what="build an MP table for a guest without ACPI",
    ),
    Option(
        name="wake_cpus", kind=Kind.SWITCH, default=False,
        what="wake every CPU and give it the boot CPU's MTRRs and feature control",
    ),
    Option(
        name="stop", kind=Kind.CHOICE, default="halt", values=("halt", "reset"),
        what="the end of a stop where neither isa-debug-exit nor pvpanic ends the guest: halt, or "
             "reset, which ends QEMU under -no-reboot and else boots again",
    ),
    Option(
        name="trace", kind=Kind.SWITCH, default=False,
        what="write a number to port 0xf5 at the start of each stage",
    ),
    Option(
        name="budget", kind=Kind.BYTES, default=BUDGET_MAX,
        what="the most bytes that the image may use; the build fails beyond",
    ),
)  # fmt: skip
BY_NAME = {option.name: option for option in OPTIONS}


def symbols(values: Mapping[str, Value]) -> dict[str, int]:
    """The `option.*` symbols of a template's values; each option is in `values`. One more is
    `option.one_machine`: whether nothing is left to tell machines apart for."""
    machines = values["machines"]
    assert isinstance(machines, tuple)
    found = {"option.one_machine": int(len(set(machines)) == 1)}
    for option in OPTIONS:
        found |= option.symbols(values[option.name])
    return found
