"""Build an image, and beside it a map, a listing, an ELF with symbols and JSON of it all."""

import argparse
import json
from pathlib import Path

from fwbuild.errors import ExitCode
from fwbuild.firmware.declared import declared
from fwbuild.firmware.options import OPTIONS, Option
from fwbuild.image import artefacts, template
from fwbuild.image.build import all_symbols, build_image

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
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a key of the template, and lift its budget; repeatable; default: none",
    )
    parser.add_argument(
        "--symbols",
        action="store_true",
        help="print each symbol of the assembly, its value and its declaration; build nothing",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON instead of the usage line (keys: docs/json.md)",
    )
    group = parser.add_argument_group("the keys of a template (lists: words with commas)")
    group.description = "\n".join(_key(option) for option in OPTIONS)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def _key(option: Option) -> str:
    default = option.default
    shown = "required" if default is None else f"default: {str(default).lower() or 'empty'}"
    return f"{option.name:10} {option.expected}; {shown}\n{'':10} {option.what}"


def run(args: argparse.Namespace) -> int:
    chosen = template.load(args.template)
    values = template.settings(chosen, args.set)
    if args.symbols:
        for name, value in sorted(all_symbols(chosen.with_values(**values)).items()):
            print(f"{value:#010x}  {name:48} {declared(name)}")
        return int(ExitCode.OK)
    image = build_image(args.template, **values)
    plain = artefacts.write(image, args.out)
    print(json.dumps(plain, indent=1) if args.json else f"{args.out}: {image.usage()}")
    return int(ExitCode.OK)
