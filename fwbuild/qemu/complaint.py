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
    it is no complaint about the command line."""
    for line in words.splitlines():
        for kind in KINDS:
            if found := kind.pattern.search(line):
                name = found[1] if found.groups() else _machine_of(argv)
                offered = kind.offered(qemu, name)
                hint = _hint(name, offered) or kind.hint
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
    """The names nearest to one, of those that are offered."""
    if not offered:
        return ""
    member = name.rpartition(".")[2]
    near = difflib.get_close_matches(member, offered, LISTED, 0.5)
    shown = near or list(offered[:LISTED])
    more = "" if len(shown) == len(offered) else f", and {len(offered) - len(shown)} others"
    return f"it has {', '.join(shown)}{more}"


def _first_words(text: str) -> list[str]:
    """The first word of each line after a heading."""
    return [line.split()[0] for line in text.splitlines()[1:] if line.strip()]


def _machines(qemu: Qemu, name: str) -> list[str]:
    """The machine types of the same family, the newest first, else those fwbuild runs on."""
    names = _first_words(qemu.ask("-machine", "help"))
    family = next((f for f in machines.FAMILIES if f.has(name)), None)
    if family is None:
        return [n for n in machines.MACHINES if n in names]
    found = [n for n in names if family.has(n) and n != family.name]
    return [family.name, *sorted(found, key=_numbers)]


def _numbers(name: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", name)]


def _devices(qemu: Qemu, _name: str) -> list[str]:
    return re.findall(r'^name "([^"]+)"', qemu.ask("-device", "help"), re.MULTILINE)


def _accelerators(qemu: Qemu, _name: str) -> list[str]:
    return _first_words(qemu.ask("-accel", "help"))


def _cpus(qemu: Qemu, _name: str) -> list[str]:
    text = qemu.ask("-cpu", "help").partition("\n\n")[0]
    return [line.split()[1 if line.startswith("x86 ") else 0] for line in _lines(text)]


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines()[1:] if line.strip()]


def _options(qemu: Qemu, _name: str) -> list[str]:
    return re.findall(r"^(-[\w-]+)", qemu.ask("-help"), re.MULTILINE)


def _properties(qemu: Qemu, name: str) -> list[str]:
    """The properties of a machine type, an accelerator or a device: "e1000.foo" is a device's."""
    owner = name.rpartition(".")[0]
    if owner.endswith(MACHINE_SUFFIX):
        text = qemu.ask("-machine", f"{owner.removesuffix(MACHINE_SUFFIX)},help")
    elif owner.endswith(ACCEL_SUFFIX):
        text = qemu.ask("-accel", f"{owner.removesuffix(ACCEL_SUFFIX)},help")
    else:
        text = qemu.ask("-device", f"{owner},help")
    return re.findall(r"^ +([\w.-]+)=<", text, re.MULTILINE)


def _no_names(_qemu: Qemu, _name: str) -> list[str]:
    return []


@dataclass(frozen=True)
class Kind:
    """A kind of complaint: its pattern, whose group is what QEMU lacks; that in words; and the
    names that it offers."""

    pattern: re.Pattern[str]
    noun: str
    offered: Callable[[Qemu, str], list[str]]
    hint: str = ""

    def what(self, name: str) -> str:
        """What is lacking, in words."""
        owner, _, member = name.rpartition(".")
        if self.noun != "property":
            return f"{self.noun} '{name}'"
        for suffix in (MACHINE_SUFFIX, ACCEL_SUFFIX):
            owner = owner.removesuffix(suffix)
        return f"property '{member}' of {owner}"


# Sources of the words: QEMU, softmmu/vl.c (system/vl.c), qdev-monitor.c, qom/object.c, cpu.c
KINDS = (
    Kind(re.compile(r'unsupported machine type: "([^"]*)"'), "machine type", _machines),
    Kind(re.compile(r"unsupported machine type$"), "machine type", _machines),
    Kind(re.compile(r"'([^']*)' is not a valid device model name"), "device", _devices),
    Kind(re.compile(r"Property '([^']+\.[^']+)' not found"), "property", _properties),
    Kind(re.compile(r"invalid accelerator (\S+)"), "accelerator", _accelerators),
    Kind(re.compile(r"unable to find CPU model '([^']*)'"), "CPU model", _cpus),
    Kind(re.compile(r": (-\S+): invalid option"), "option", _options),
    Kind(
        re.compile(r"-(?:object|netdev|blockdev|chardev) .*does not accept value '([^']*)'"),
        "backend",
        _no_names,
        "its manual lists those it has",
    ),
)
