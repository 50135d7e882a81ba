"""The command line: `fwbuild [VERB] ...`; without a verb it builds."""

import argparse
import difflib
import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.inputs import kept
from fwbuild.qemu.program import chosen
from fwbuild.shortage import system_error
from fwbuild.version import __version__

# Each is a module of fwbuild.verbs with HELP, add_arguments(parser) and run(args) -> int.
VERBS = (
    "build", "verify", "run", "gdb", "cost", "bench", "record", "extract", "inspect",
    "bake", "explain", "disasm", "map", "errors", "templates", "completion",
)  # fmt: skip
ALIASES = {"emulate": "verify"}  # other names of verbs
PASS_ON = ("run", "gdb", "bench")  # the verbs that give QEMU what follows `--`
DEFAULT_VERB = "build"
VERBS_FOLDER = Path(__file__).parent / "verbs"
HELP = re.compile(r'^HELP = "(.*)"$', re.MULTILINE)


class Parser(argparse.ArgumentParser):
    """argparse's, whose errors are as all others are."""

    def error(self, message: str) -> NoReturn:
        hint = f"`{self.prog} --help` has the options"
        raise FwbuildError(ExitCode.USAGE, message, where=self.prog.partition(" ")[2], hint=hint)


def parser(verbs: Sequence[str] = VERBS, *, brief: bool = False) -> argparse.ArgumentParser:
    """The whole command line as argparse sees it; `brief`: the verbs without their options, which
    imports none of them."""
    top = Parser(
        prog="fwbuild",
        description="Build a tiny firmware image for QEMU/KVM. Without a verb: build.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=18),
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"fwbuild {__version__}")
    sub = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name in verbs:
        aliases = [alias for alias, verb in ALIASES.items() if verb == name]
        if brief:
            sub.add_parser(name, aliases=aliases, help=_help(name))
            continue
        module = importlib.import_module(f"fwbuild.verbs.{name}")
        child = sub.add_parser(
            name,
            aliases=aliases,
            help=module.HELP,
            description=module.__doc__,
            allow_abbrev=False,
        )
        module.add_arguments(child)
        child.set_defaults(run=module.run)
    return top


def _help(name: str) -> str:
    """The HELP of a verb, as its source has it."""
    text = (VERBS_FOLDER / f"{name}.py").read_text(encoding="utf-8")
    found = HELP.search(text)
    assert found, f"{name} has no HELP in one line"
    return found[1]


def with_verb(argv: list[str]) -> list[str]:
    """The arguments, with the default verb added if none is named.

    The default verb takes options only, so a first word that is not an option was meant as a verb.
    Raises FwbuildError for one that does not exist.
    """
    if argv and (argv[0] in {*VERBS, *ALIASES} or argv[0] in ("-h", "--help", "--version")):
        return argv
    if argv and not argv[0].startswith("-"):
        near = difflib.get_close_matches(argv[0], VERBS, 1)
        hint = f"did you mean {near[0]}?" if near else f"verbs are {', '.join(VERBS)}"
        raise FwbuildError(ExitCode.USAGE, f"no verb '{argv[0]}'", hint=hint)
    return [DEFAULT_VERB, *argv]


def split_at_dashes(verb: str, arguments: list[str]) -> tuple[list[str], list[str]]:
    """A verb's own arguments, and those after `--` for a verb that passes them to QEMU."""
    if verb not in PASS_ON or "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code; errors go to stderr in one line."""
    try:
        arguments = with_verb(sys.argv[1:] if argv is None else argv)
        verb = ALIASES.get(arguments[0], arguments[0])
        wanted = (verb,) if verb in VERBS else VERBS
        arguments, after = split_at_dashes(verb, arguments)
        args = parser(wanted, brief=wanted is VERBS).parse_args(arguments)
        args.after = after
        with chosen(getattr(args, "qemu", None)), kept():
            return int(args.run(args))
    except FwbuildError as error:
        return _failed(error)
    except OSError as error:  # of scratch files, for one
        return _failed(system_error(error))
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)


def _failed(error: FwbuildError) -> int:
    from fwbuild.verbs.printing import print_error  # noqa: PLC0415 (--help does without)

    print_error(error)
    return int(error.code)
