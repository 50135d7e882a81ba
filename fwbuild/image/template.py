"""Image templates: TOML files whose keys are the rows of firmware/options.py."""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import data_dir
from fwbuild.firmware import options
from fwbuild.firmware.options import BY_NAME, OPTIONS, Value

DEFAULT = "universal"


@dataclass(frozen=True)
class Template:
    """A template's name and the value of each option."""

    name: str
    items: tuple[tuple[str, Value], ...]  # in the order of OPTIONS

    @property
    def values(self) -> Mapping[str, Value]:
        """The value of each option by its name."""
        return MappingProxyType(dict(self.items))

    def words(self, name: str) -> tuple[str, ...]:
        """The value of an option that is a list."""
        value = self.values[name]
        assert isinstance(value, tuple)
        return value

    @property
    def budget(self) -> int:
        """The most bytes that the image may use."""
        value = self.values["budget"]
        assert isinstance(value, int)
        return value

    def symbols(self) -> dict[str, int]:
        """The assembly's `option.*` symbols."""
        return options.symbols(self.values)

    def with_values(self, **values: Value) -> "Template":
        """The same template with other values for some options."""
        return Template(self.name, tuple((dict(self.items) | values).items()))


def names() -> list[str]:
    """The templates that fwbuild brings."""
    return sorted(path.stem for path in data_dir("templates").glob("*.toml"))


def load(name: str) -> Template:
    """A template by its name, or by the path of a TOML file. Raises FwbuildError."""
    path = Path(name) if name.endswith(".toml") else data_dir("templates") / f"{name}.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = names()
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise FwbuildError(ExitCode.TEMPLATE, f"no template '{name}'", hint=hint) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FwbuildError(ExitCode.TEMPLATE, str(error), where=str(path)) from None
    except RecursionError:
        raise FwbuildError(ExitCode.TEMPLATE, "nested too deep", where=str(path)) from None
    return Template(path.stem, tuple(_checked(data, path).items()))


def _checked(data: Mapping[str, object], path: Path) -> dict[str, Value]:
    """The value of each option, from the file or by default."""
    for key in data:
        if key not in BY_NAME:
            raise _unknown(str(path), key)
    values: dict[str, Value] = {}
    for option in OPTIONS:
        if option.name not in data and option.default is not None:
            values[option.name] = option.default
            continue
        try:
            values[option.name] = option.read(data.get(option.name))
        except ValueError as error:
            what = str(error) if option.name in data else f"missing '{option.name}'"
            raise _bad(str(path), what, option.expected) from None
    _check_protocols(values, str(path))
    return values


def settings(chosen: Template, words: Sequence[str]) -> dict[str, Value]:
    """The values that `KEY=VALUE` words give to options of a template. Raises FwbuildError."""
    values: dict[str, Value] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise _bad("--set", f"'{word}' has no '='", "say KEY=VALUE")
        if name not in BY_NAME:
            raise _unknown("--set", name)
        try:
            values[name] = BY_NAME[name].parse(text)
        except ValueError:
            raise _bad("--set", f"bad '{name}'", BY_NAME[name].expected) from None
    _check_protocols({**chosen.values, **values}, "--set")
    return values


def _check_protocols(values: Mapping[str, Value], where: str) -> None:
    protocols = values["protocols"]
    assert isinstance(protocols, tuple)
    if "linux16" in protocols and "linux" not in protocols:
        raise _bad(where, "'protocols' has linux16 without linux", "the two tell bzImages apart")


def _unknown(where: str, key: str) -> FwbuildError:
    near = difflib.get_close_matches(key, BY_NAME, 1)
    hint = f"did you mean {near[0]}?" if near else f"keys are {', '.join(BY_NAME)}"
    return _bad(where, f"unknown key '{key}'", hint)


def _bad(where: str, what: str, hint: str) -> FwbuildError:
    return FwbuildError(ExitCode.TEMPLATE, what, where=where, hint=hint)
