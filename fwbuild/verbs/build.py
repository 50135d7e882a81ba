"""Build an image, and beside it a map, a listing, an ELF with symbols and JSON of it all."""

import argparse
import json
from pathlib import Path

from fwbuild.errors import ExitCode
from fwbuild.image import artefacts, template
from fwbuild.image.build import build_image

HELP = "build an image (the default)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/bios.bin"),
        metavar="IMG",
        help="where the image goes; default: %(default)s",
    )
    parser.add_argument(
        "--template",
        default=template.DEFAULT,
        metavar="NAME",
        help="a template or a TOML file; default: %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the usage line")


def run(args: argparse.Namespace) -> int:
    image = build_image(args.template)
    plain = artefacts.write(image, args.out)
    print(json.dumps(plain, indent=1) if args.json else f"{args.out}: {image.usage()}")
    return int(ExitCode.OK)
