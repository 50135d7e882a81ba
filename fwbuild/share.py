"""Makes what a shell and `man` know of the command line, from its own options: `python -m
fwbuild.share` writes the folder share/. A wheel brings it; `fwbuild completion` prints it."""

import argparse
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import shtab

from fwbuild.cli import ALIASES, DEFAULT_VERB, VERBS, parser
from fwbuild.documents import render
from fwbuild.errors import ExitCode
from fwbuild.files import data_dir
from fwbuild.image import template
from fwbuild.machines import MACHINES
from fwbuild.qemu.program import NAME, VARIABLE
from fwbuild.verbs.completion import SHELLS
from fwbuild.verbs.paths import file_name
from fwbuild.version import RELEASED, __version__

MAN = "fwbuild.1"
WORDS_OR_FILE = "words"  # what `explain` takes
WIDTH = 72  # of a line in it
ENVIRONMENT = {
    VARIABLE: f"The {NAME} to use. Without it, the one on PATH.",
    "NO_COLOR": "If it is set and not empty, no output has colours.",
}


@dataclass(frozen=True)
class Option:
    """An option or an argument of a verb, for the man page."""

    heading: str  # in roff: bold words, italic values
    help: str


@dataclass(frozen=True)
class Verb:
    """A verb for the man page."""

    name: str
    about: str
    options: list[Option]


def actions(verb: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """A parser's options and arguments, but for -h."""
    return (a for a in verb._actions if not isinstance(a, argparse._HelpAction))


def verbs() -> dict[str, argparse.ArgumentParser]:
    """The parser of each verb."""
    (sub,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return {name: sub.choices[name] for name in VERBS}


def roff(text: str) -> str:
    """Words as roff takes them, in lines that are not long. A line that starts with a dot or an
    apostrophe would be a command."""
    lines = textwrap.wrap(" ".join(text.split()), WIDTH, break_on_hyphens=False)
    escaped = (line.replace("\\", "\\e").replace("-", "\\-") for line in lines)
    return "\n".join(re.sub(r"^([.'])", r"\\&\1", line) for line in escaped)


def words(action: argparse.Action) -> str:
    """An action's help with its default and its choices in place."""
    values = vars(action) | {"choices": ", ".join(map(str, action.choices or ()))}
    return (action.help or "") % values


def _heading(action: argparse.Action) -> str:
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else "")
    if isinstance(value, tuple):
        value = " ".join(value)
    names = [f"\\fB{roff(name)}\\fR" for name in action.option_strings]
    if not names:
        return f"\\fI{roff(value)}\\fR"
    return ", ".join(names) + (f" \\fI{roff(value)}\\fR" if action.nargs != 0 and value else "")


def man_page() -> str:
    """fwbuild.1."""
    found = []
    for name, verb in verbs().items():
        other = [alias for alias, of in ALIASES.items() if of == name]
        about = " ".join([verb.description or "", *(f"Its other name is {o}." for o in other)])
        options = [Option(_heading(a), words(a)) for a in actions(verb)]
        found.append(Verb(name, about, options))
    return render(
        f"{MAN}.j2",
        version=__version__,
        released=RELEASED,
        verbs=found,
        exits=list(ExitCode),
        environment=ENVIRONMENT,
        roff=roff,
    )


def _templates() -> dict[str, Any]:
    """How each shell completes a template: one of the names, or a TOML file."""
    files: dict[str, Any] = shtab.glob("*.toml")
    names, by = " ".join(template.names()), files["preamble"]
    function = "_fwbuild_template_or_file"  # "_file" has shtab quote what is found in bash
    bash = f"""{function}() {{
  compgen -W "{names}" -- "$1"
  {files["bash"]} "$1"
}}"""
    zsh = f"""{function}() {{
  _alternative 'templates:template:({names})' 'files:file:_files -g "*.toml"'
}}"""
    return {
        "bash": function,
        "zsh": function,
        "fish": f"{names} {files['fish']}",
        "preamble": {"bash": f"{by['bash']}{bash}", "zsh": zsh, "fish": by["fish"]},
    }


def _complete(action: argparse.Action) -> None:
    """Tell shtab what completes an action's value, where that is more than its choices."""
    if action.type is file_name or action.dest == WORDS_OR_FILE:
        action.complete = shtab.FILE  # type: ignore[attr-defined]
    elif "--template" in action.option_strings:
        action.complete = _templates()  # type: ignore[attr-defined]
    elif "--machine" in action.option_strings:
        action.choices = MACHINES  # QEMU has more: a shell takes any other word, too


def completion(shell: str) -> str:
    """The completion script of a shell."""
    top = parser()
    (sub,) = (a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    for action in actions(sub.choices[DEFAULT_VERB]):
        top._add_action(action)  # it may be left out
    for verb in sub.choices.values():
        verb.description = None  # a list of verbs has a line for each, as `fwbuild --help`
        for action in actions(verb):
            _complete(action)
    return shtab.complete(top, shell=shell)


def files() -> dict[str, str]:
    """Each file of share/ and its text."""
    return {f"fwbuild.{shell}": completion(shell) for shell in SHELLS} | {MAN: man_page()}


if __name__ == "__main__":
    for name, text in files().items():
        (data_dir("share") / name).write_text(text, encoding="utf-8")
