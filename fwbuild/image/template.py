"""Image templates: TOML files whose keys are the rows of firmware/options.py."""

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import NO_FILE, data_dir, is_file, read_file, why_no_file
from fwbuild.firmware import options
from fwbuild.firmware.options import BUDGET_MAX, BY_NAME, OPTIONS, Value

DEFAULT = "universal"
TEXT_MAX = 16 << 10  # bytes of a file; a key of many parts takes their number squared
HEIRS_MAX = 16  # files that extend each other
SUFFIX = ".toml"  # of a template's file
EXTENDS = "extends"  # the key of the template that a file starts from


@dataclass(frozen=True)
class Where:
    """The name of what options are read from, and the text of a file."""

    name: str
    text: str = ""

    def of(self, key: str) -> str:
        """The place of a key: file and line."""
        pattern = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*=""")
        for number, line in enumerate(self.text.splitlines(), 1):
            if pattern.match(line):
                return f"{self.name}:{number}"
        return self.name


@dataclass(frozen=True)
class Template:
    """The name of a template and the value of each option."""

    name: str
    items: tuple[tuple[str, Value], ...]  # in the order of OPTIONS

    @classmethod
    def load(cls, name: str | Path) -> "Template":
        """The packaged template of a name, or the one in a TOML file. A file may name another
        by `extends`, whose values it then starts from. Raises FwbuildError."""
        return cls._load(str(name), ())

    @classmethod
    def _load(cls, name: str, heirs: tuple[Path, ...]) -> "Template":
        """The template that the files `heirs`, the last one directly, start from."""
        packaged = data_dir("templates") / f"{name}{SUFFIX}"
        path = heirs[-1].parent / name if heirs else Path(name)
        path = path if name.endswith(SUFFIX) else packaged
        if is_file(path) and path.resolve() in heirs:
            raise _bad(str(path), f"'{EXTENDS}' leads back to it", "extend another template")
        if len(heirs) == HEIRS_MAX:
            raise _bad(str(path), f"it comes after {HEIRS_MAX} others", "extend fewer templates")
        text = _text(path, name)
        given = _toml(path, text)
        where = Where(str(path), text)
        otherwise: Mapping[str, Value | None] = {o.name: o.default for o in OPTIONS}
        if (base := given.pop(EXTENDS, None)) is not None:
            if not isinstance(base, str):
                raise _bad(where.of(EXTENDS), f"bad '{EXTENDS}'", "the name of a template")
            try:
                found = cls._load(base, (*heirs, path.resolve()))
            except FwbuildError as error:
                place = error.where or where.of(EXTENDS)
                raise FwbuildError(error.code, error.what, where=place, hint=error.hint) from None
            otherwise = dict(found.items) | {"budget": BUDGET_MAX}
        return cls(path.stem, _checked(given, otherwise, where))

    def with_values(self, **values: object) -> "Template":
        """The same template with other values for some options; its budget does not hold then.
        Raises FwbuildError for a key or a value that no template may have."""
        lifted = {"budget": BUDGET_MAX} | values if values else values
        return Template(self.name, _checked(lifted, dict(self.items), Where(self.name)))

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


def _text(path: Path, name: str) -> str:
    if why_no_file(path) == NO_FILE:
        known = names()
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        if name.endswith(SUFFIX):
            hint = "there is no such file"
        elif is_file(Path(name)):
            hint = f"the name of a template's file ends with {SUFFIX}"
        raise FwbuildError(ExitCode.TEMPLATE, f"no template '{name}'", hint=hint)
    try:
        return read_file(path, TEXT_MAX).decode("utf-8-sig")  # some editors begin with its mark
    except FwbuildError as error:
        raise _bad(str(path), error.what, error.hint) from None
    except UnicodeDecodeError as error:
        raise _bad(str(path), f"byte {error.start} is no UTF-8", "save it as UTF-8") from None


def _toml(path: Path, text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        what = "nested too deep"
    except ValueError as error:  # of TOML, or of Python for a number that is too long
        what = str(error)
    raise _bad(str(path), what, "docs/templates.md shows a template")


def _checked(
    given: Mapping[str, object], otherwise: Mapping[str, Value | None], where: Where
) -> tuple[tuple[str, Value], ...]:
    """Each option with the value that is given, or else the other one; None means that it has to
    be given."""
    for key in given:
        if key not in BY_NAME:
            raise _unknown(where.of(key), key, (EXTENDS,) if where.text else ())
    values: dict[str, Value] = {}
    for option in OPTIONS:
        value = otherwise[option.name]
        if option.name in given:
            try:
                value = option.read(given[option.name])
            except ValueError as error:
                raise _bad(where.of(option.name), str(error), option.expected) from None
        if value is None:
            raise _bad(where.name, f"missing '{option.name}'", option.expected)
        values[option.name] = value
    _check_protocols(values, where)
    _check_modules(values, where)
    return tuple(values.items())


def _check_protocols(values: Mapping[str, Value], where: Where) -> None:
    protocols = values["protocols"]
    assert isinstance(protocols, tuple)
    if "linux16" in protocols and "linux" not in protocols:
        place = where.of("protocols")
        raise _bad(place, "'protocols' has linux16 without linux", "the two tell bzImages apart")
    if "preloaded" in protocols and len(protocols) > 1:
        place = where.of("protocols")
        raise _bad(place, "'protocols' has preloaded and another", "its kernel is in RAM already")


def _check_modules(values: Mapping[str, Value], where: Where) -> None:
    if values["kernel_file"] and not values["modules"]:
        place = where.of("kernel_file")
        raise _bad(place, "'kernel_file' without 'modules'", "a kernel's initrd is one of them")


def _unknown(where: str, key: str, more: Sequence[str] = ()) -> FwbuildError:
    """The error of a key that is none; `more` are keys besides the options."""
    known = [*BY_NAME, *more]
    near = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"keys are {', '.join(known)}"
    return _bad(where, f"unknown key '{key}'", hint)


def _bad(where: str, what: str, hint: str) -> FwbuildError:
    return FwbuildError(ExitCode.TEMPLATE, what, where=where, hint=hint)
