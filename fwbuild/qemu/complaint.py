"""QEMU's complaints about its command line, and what it offers instead."""

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fwbuild import machines
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.qemu.program import Qemu

FOLLOWS = re.compile(r"Use -\w+ help to list")  # a complaint's second line
LISTED = 6  # names in a hint
MACHINE_SUFFIX = "-machine"  # of a machine type's class, which QEMU names for a property
ACCEL_SUFFIX = "-accel"


def explain(qemu: Qemu, argv: Sequence[str], words: str) -> FwbuildError | None:
    """The error that a user sees for what QEMU wrote on stderr before it ended, or None where
    it does not complain about the command line."""
    for line in words.splitlines():
        for kind in KINDS:
            if found := kind.pattern.search(line):
                name = found[1] if found.groups() else _machine_of(argv)
                offered = kind.offered(qemu, name)
                hint = _hint(name, offered) or f"`{qemu.path} {kind.listed_by(name)}` lists them"
                what = f"QEMU {qemu.version} has no {kind.what(name)}"
                return FwbuildError(ExitCode.QEMU, what, hint=hint)
    return None


def is_about_arguments(line: str) -> bool:
    """Whether a line of QEMU's is for `explain`."""
    return bool(FOLLOWS.search(line)) or any(kind.pattern.search(line) for kind in KINDS)


def _machine_of(argv: Sequence[str]) -> str:
    """The machine type that was asked for: QEMU 7.2 does not repeat it."""
    words = [argv[i + 1] for i, word in enumerate(argv[:-1]) if word in ("-M", "-machine")]
    return machines.machine_type(words[0]) if words else ""


def _hint(name: str, offered: Sequence[str]) -> str:
    """The names nearest to one, of those that are offered; all of a few; else nothing."""
    member = name.rpartition(".")[2]
    offered = list(dict.fromkeys(offered))  # QEMU's help has an option once for each use
    shown = difflib.get_close_matches(member, offered, LISTED, 0.6)
    if len(offered) <= LISTED:
        shown = list(offered)
    return f"it has {', '.join(shown)}" if shown else ""


def _first_words(text: str) -> list[str]:
    """The first word of each line after a heading."""
    return [line.split()[0] for line in text.splitlines()[1:] if line.strip()]


def _machines(qemu: Qemu, name: str) -> list[str]:
    """The machine types of the same family, else those that fwbuild runs on."""
    names = _first_words(qemu.ask("-machine", "help"))
    family = next((f for f in machines.FAMILIES if f.has(name)), None)
    if family is None:
        return [n for n in machines.MACHINES if n in names]
    found = sorted((n for n in names if family.has(n) and n != family.name), key=_numbers)
    return [family.name, f"{found[0]} to {found[-1]}" if found else ""]


def _numbers(name: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", name)]


def _devices(qemu: Qemu, _name: str) -> list[str]:
    return re.findall(r'^name "([^"]+)"', qemu.ask("-device", "help"), re.MULTILINE)


def _listed(option: str) -> Callable[[Qemu, str], list[str]]:
    """The names in QEMU's own list for an option."""
    return lambda qemu, _name: _first_words(qemu.ask(option, "help"))


def _cpus(qemu: Qemu, _name: str) -> list[str]:
    """The first words of a first list; 7.2 puts "x86" before each."""
    text = qemu.ask("-cpu", "help").partition("\n\n")[0]
    return [name.removeprefix("x86 ") for name in re.findall(r"^ *((?:x86 )?\S+)", text, re.M)[1:]]


def _options(qemu: Qemu, _name: str) -> list[str]:
    return re.findall(r"^(-[\w-]+)", qemu.ask("-help"), re.MULTILINE)


def _properties(qemu: Qemu, name: str) -> list[str]:
    """The properties of a machine type, an accelerator or a device: "e1000.foo" is a device's."""
    return re.findall(r"^ +([\w.-]+)=<", qemu.ask(*_property_help(name).split()), re.MULTILINE)


def _property_help(name: str) -> str:
    """The words that make QEMU list the properties of what has one."""
    owner = name.rpartition(".")[0]
    for suffix, option in ((MACHINE_SUFFIX, "-machine"), (ACCEL_SUFFIX, "-accel")):
        if owner.endswith(suffix):
            return f"{option} {owner.removesuffix(suffix)},help"
    return f"-device {owner},help"


@dataclass(frozen=True)
class Kind:
    """A kind of complaint: the pattern, whose group is the name that QEMU does not know; what
    that would be; the names that QEMU offers; and what makes QEMU list them."""

    pattern: re.Pattern[str]
    noun: str
    offered: Callable[[Qemu, str], list[str]]
    listed_by: Callable[[str], str]

    def what(self, name: str) -> str:
        """The thing that is lacking, in words."""
        owner, _, member = name.rpartition(".")
        if self.noun != "property":
            return f"{self.noun} '{name}'"
        for suffix in (MACHINE_SUFFIX, ACCEL_SUFFIX):
            owner = owner.removesuffix(suffix)
        return f"property '{member}' of {owner}"


def _always(words: str) -> Callable[[str], str]:
    return lambda _name: words


# Sources of the words: QEMU, softmmu/vl.c (system/vl.c), qdev-monitor.c, qom/object.c, cpu.c
KINDS = (
    Kind(
        re.compile(r'unsupported machine type: "([^"]*)"'),
        "machine type",
        _machines,
        _always("-machine help"),
    ),
    Kind(
        re.compile(r"unsupported machine type$"),
        "machine type",
        _machines,
        _always("-machine help"),
    ),
    Kind(
        re.compile(r"'([^']*)' is not a valid device model name"),
        "device",
        _devices,
        _always("-device help"),
    ),
    Kind(
        re.compile(r"Property '([^']+\.[^']+)' not found"), "property", _properties, _property_help
    ),
    Kind(
        re.compile(r"invalid accelerator (\S+)"),
        "accelerator",
        _listed("-accel"),
        _always("-accel help"),
    ),
    Kind(
        re.compile(r"unable to find CPU model '([^']*)'"), "CPU model", _cpus, _always("-cpu help")
    ),
    Kind(re.compile(r": (-\S+): invalid option"), "option", _options, _always("-help")),
    Kind(
        re.compile(r"-object .*does not accept value '([^']*)'"),
        "object",
        _listed("-object"),
        _always("-object help"),
    ),
    Kind(
        re.compile(r"-netdev .*does not accept value '([^']*)'"),
        "netdev",
        _listed("-netdev"),
        _always("-netdev help"),
    ),
)
