"""Where the assembly's symbols are declared, for `fwbuild build --symbols`."""

import re
from functools import cache
from pathlib import Path
from types import ModuleType

from fwbuild import abi
from fwbuild.firmware import layout, options
from fwbuild.firmware.symbols import OWN

PACKAGE = Path(__file__).resolve().parents[1]
MODULES = {m.__name__.rpartition(".")[2]: m for m in (*abi.CONTRACTS, *OWN)}


def declared(symbol: str) -> str:
    """`file:line` of a symbol's declaration, the file from the repository's root on."""
    head, name, *inner = symbol.split(".")
    match head:
        case "option":
            return _place(options, [rf'name="{name}"|"option\.{name}"'])
        case "region":
            return _place(layout, [rf'"{name}"'])
        case "ram":
            module, struct = _structure(name)
            return _place(module, [rf"^{struct} = ", *_fields(inner)])
    return _place(MODULES[head], [_top(name), *_fields(inner)])


def _top(name: str) -> str:
    """The pattern of a class, an assignment (to several names perhaps) or a row of that name."""
    return rf'^class {name}\b|^([\w, ]+, )?{name}\b[\w, :]* = |^\s+"{name}",|\("{name}"|, "{name}",'


def _fields(names: list[str]) -> list[str]:
    return [rf'"{name}"|^\s+{name}\b' for name in names]


@cache
def _structure(name: str) -> tuple[ModuleType, str]:
    """The module that declares a structure of layout.STRUCTURES, and the name it has there."""
    struct = layout.STRUCTURES[name][1]
    for module in MODULES.values():
        for key, value in vars(module).items():
            if value is struct and re.search(rf"^{key} = ", "\n".join(_lines(module)), re.M):
                return module, key
    raise LookupError(f"no module declares the structure of ram.{name}")


@cache
def _lines(module: ModuleType) -> list[str]:
    return Path(str(module.__file__)).read_text(encoding="utf-8").splitlines()


def _place(module: ModuleType, patterns: list[str]) -> str:
    """The last of the patterns that is found, each looked for from the one before on."""
    lines, at = _lines(module), 0
    for pattern in patterns:
        found = [i for i in range(at, len(lines)) if re.search(pattern, lines[i])]
        if not found:
            break
        at = found[0]
    path = Path(str(module.__file__)).resolve().relative_to(PACKAGE.parent)
    return f"{path}:{at + 1}"
