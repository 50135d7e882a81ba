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
from fwbuild.firmware.options import BUDGET_MAX, BY_NAME, OPTIONS, Value

DEFAULT = "universal"


@dataclass(frozen=True)
class Template:
    """The name of a template and the value of each option."""

    name: str
    items: tuple[tuple[str, Value], ...]  # in the order of OPTIONS

    @classmethod
    def load(cls, name: str | Path) -> "Template":
        """The packaged template of a name, or the one in a TOML file. Raises FwbuildError."""
        packaged = data_dir("templates") / f"{name}.toml"
        path = Path(name) if str(name).endswith(".toml") else packaged
        return cls(
            path.stem,
            _checked(_toml(path, str(name)), {o.name: o.default for o in OPTIONS}, str(path)),
        )

    def with_values(self, **values: object) -> "Template":
        """The same template with other values for some options; its budget does not hold then.
        Raises FwbuildError for a key or a value that no template may have."""
        lifted = {"budget": BUDGET_MAX} | values if values else values
        return Template(self.name, _checked(lifted, dict(self.items), self.name))

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


def names() -> list[str]:
    """The packaged templates."""
    return sorted(path.stem for path in data_dir("templates").glob("*.toml"))


def parse_settings(words: Sequence[str]) -> dict[str, Value]:
    """The options' values in `KEY=VALUE` words. Raises FwbuildError."""
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
    return values


def _toml(path: Path, name: str) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = names()
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise FwbuildError(ExitCode.TEMPLATE, f"no template '{name}'", hint=hint) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FwbuildError(ExitCode.TEMPLATE, str(error), where=str(path)) from None
    except RecursionError:
        raise FwbuildError(ExitCode.TEMPLATE, "nested too deep", where=str(path)) from None


def _checked(
    given: Mapping[str, object], otherwise: Mapping[str, Value | None], where: str
) -> tuple[tuple[str, Value], ...]:
    """Each option with the value that is given, or else the other one; None means that it has to
    be given."""
    for key in given:
        if key not in BY_NAME:
            raise _unknown(where, key)
    values: dict[str, Value] = {}
    for option in OPTIONS:
        value = otherwise[option.name]
        if option.name in given:
            try:
                value = option.read(given[option.name])
            except ValueError as error:
                raise _bad(where, str(error), option.expected) from None
        if value is None:
            raise _bad(where, f"missing '{option.name}'", option.expected)
        values[option.name] = value
    _check_protocols(values, where)
    return tuple(values.items())


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
