"""Build an image, and beside it a map, a listing, an ELF with symbols and JSON of it all."""

import argparse
import json
from pathlib import Path

from fwbuild.api import build, write
from fwbuild.errors import ExitCode
from fwbuild.firmware.declared import declared
from fwbuild.firmware.options import OPTIONS, Option
from fwbuild.image.build import all_symbols
from fwbuild.image.template import Template, parse_settings
from fwbuild.verbs.guest_options import add_template_argument
from fwbuild.verbs.paths import file_name
from fwbuild.verbs.printing import Working

HELP = "build an image (the default)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=file_name,
        default=Path("out/bios.bin"),
        metavar="IMG",
        help="where the image goes; default: %(default)s",
    )
    add_template_argument(parser)
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
        help="print JSON instead of text (keys: docs/json.md)",
    )
    group = parser.add_argument_group("the keys of a template (lists: words with commas)")
    group.description = "\n".join(_key(option) for option in OPTIONS)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def _key(option: Option) -> str:
    default = option.default
    shown = "required" if default is None else f"default: {str(default).lower() or 'empty'}"
    return f"{option.name:10} {option.expected}; {shown}\n{'':10} {option.what}"


def run(args: argparse.Namespace) -> int:
    chosen = Template.load(args.template).with_values(**parse_settings(args.set))
    if args.symbols:
        symbols = sorted(all_symbols(chosen).items())
        rows = [{"name": n, "value": v, "source": declared(n)} for n, v in symbols]
        lines = [f"{row['value']:#010x}  {row['name']:48} {row['source']}" for row in rows]
        print(json.dumps(rows, indent=1) if args.json else "\n".join(lines))
        return int(ExitCode.OK)
    with Working("assembling the image"):
        image = build(chosen)
        plain = write(image, args.out)
    print(json.dumps(plain, indent=1) if args.json else f"{args.out}: {image.usage()}")
    return int(ExitCode.OK)
