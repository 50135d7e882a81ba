"""Print the completion script of a shell. A package puts it where the shell looks for it; else
`eval "$(fwbuild completion bash)"` in its start-up file does."""

import argparse

from fwbuild.errors import ExitCode
from fwbuild.files import data_dir

SHELLS = ("bash", "zsh", "fish")
HELP = "print the completion of bash, zsh or fish"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="the shell: %(choices)s")


def run(args: argparse.Namespace) -> int:
    print((data_dir("share") / f"fwbuild.{args.shell}").read_text(encoding="utf-8"), end="")
    return int(ExitCode.OK)
