"""List the instructions of an image: addresses, bytes, and the lines that they came from."""

import argparse
import difflib
import json

from fwbuild.api import build
from fwbuild.assembler.source import Fragment
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.explain.addresses import number
from fwbuild.image import artefacts
from fwbuild.image.build import Image, all_symbols
from fwbuild.image.sources import read_firmware
from fwbuild.verbs.guest_options import add_template_argument
from fwbuild.verbs.printing import Working

HELP = "list an image's instructions with their sources"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "symbol",
        nargs="?",
        metavar="SYMBOL",
        help="a routine, a data item, or an address in one of them; default: the whole image",
    )
    add_template_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON (keys: docs/json.md)")


def run(args: argparse.Namespace) -> int:
    with Working("assembling the image"):
        image = build(args.template)
    found = [_find(image, args.symbol)] if args.symbol else image.linked.fragments
    if args.json:
        plain = [s for fragment in found for s in artefacts.statements(image, fragment)]
        print(json.dumps(plain, indent=1))
    else:
        print("\n".join(artefacts.listing_of(image, fragment) for fragment in found), end="")
    return int(ExitCode.OK)


def _find(image: Image, symbol: str) -> Fragment:
    """The fragment of that name or at that address. Raises FwbuildError."""
    linked = image.linked
    address = number(symbol)
    found = None if address is None else linked.fragment_at(address)
    found = found or next((f for f in linked.fragments if f.name == symbol), None)
    if found:
        return found
    placed = [f.name for f in linked.fragments]
    known = [f.name for f in read_firmware(all_symbols(image.template))]
    if symbol in known:
        what = f"the template {image.template.name} leaves '{symbol}' out"
        raise FwbuildError(ExitCode.INPUT, what, hint="name another with --template")
    names = difflib.get_close_matches(symbol, placed, 1)
    hint = f"did you mean {names[0]}?" if names else "`fwbuild map` lists them"
    raise FwbuildError(ExitCode.INPUT, f"no symbol '{symbol}' in the image", hint=hint)
