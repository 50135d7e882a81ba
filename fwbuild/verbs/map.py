"""Show where everything of an image lies: the ROM's routines and data, and the RAM it uses."""

import argparse
import json

from fwbuild.api import build
from fwbuild.documents import render
from fwbuild.errors import ExitCode
from fwbuild.image import artefacts
from fwbuild.verbs.guest_options import add_template_argument
from fwbuild.verbs.printing import Working

HELP = "show an image's map of ROM and RAM"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_template_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON (keys: those of build)")


def run(args: argparse.Namespace) -> int:
    with Working("assembling the image"):
        plain = artefacts.description(build(args.template))
    print(json.dumps(plain, indent=1) if args.json else render("image.map.j2", **plain).rstrip())
    return int(ExitCode.OK)
