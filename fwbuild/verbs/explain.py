"""Explain an address, a code, a name, a line of the console or a file.

A file is described as `fwbuild inspect` does it. Exit code 3 says that nothing is known.
"""

import argparse
import json
from pathlib import Path

from fwbuild.api import build
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.explain import Meaning, explain
from fwbuild.explain.addresses import number
from fwbuild.explain.names import near
from fwbuild.files import is_file
from fwbuild.verbs import inspect
from fwbuild.verbs.guest_options import add_template_argument
from fwbuild.verbs.printing import Working, output

HELP = "explain an address, a code, a name or a file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs="+",
        metavar="WORD",
        help="an address (0x6000), a code (21), QEMU's exit status (67), a symbol, the name of a "
        "fw_cfg file, a stop's line from the console, or a file",
    )
    add_template_argument(parser, "the template of the image that is meant")
    parser.add_argument("--json", action="store_true", help="print JSON (keys: docs/json.md)")


def run(args: argparse.Namespace) -> int:
    text = " ".join(args.words).strip()
    with Working("assembling the image"):
        image = build(args.template)
    found = explain(text, image)
    if not found and is_file(Path(text)):
        return inspect.run(argparse.Namespace(file=Path(text), json=args.json))
    if not found:
        names = near(text, image)
        hint = f"did you mean {' or '.join(names)}?" if names else "addresses begin with 0x"
        if number(text) is not None:
            hint = "no range of the firmware's or a PC's has it; `fwbuild map` lists the firmware's"
        raise FwbuildError(ExitCode.INPUT, f"nothing known as '{text}'", hint=hint)
    if args.json:
        print(json.dumps([meaning.plain() for meaning in found], indent=1))
    else:
        for meaning in found:
            _show(meaning)
    return int(ExitCode.OK)


def _show(meaning: Meaning) -> None:
    console = output()
    console.print(f"{meaning.kind}: {meaning.what}")
    for name, value in meaning.facts.items():
        console.print(f"  {name:14} {value}")
