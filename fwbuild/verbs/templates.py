"""List the templates: what each boots, its size, and its counts to the test kernel's entry.

Accesses and instructions are counted in the emulated machine, from reset on.
"""

import argparse
import json
from typing import Any

from rich.table import Table

from fwbuild.api import build, emulate
from fwbuild.errors import ExitCode
from fwbuild.guest import Guest
from fwbuild.image import template
from fwbuild.image.build import Image
from fwbuild.verbs.printing import Working, output

HELP = "list the templates: machines, protocols, size, counts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "template",
        nargs="*",
        metavar="NAME",
        help="a template or a TOML file, repeatable; default: those that fwbuild brings",
    )
    parser.add_argument("--json", action="store_true", help="print JSON (keys: docs/json.md)")


def run(args: argparse.Namespace) -> int:
    with Working("building the images, and counting") as shown:
        found = []
        for name in args.template or template.names():
            shown.say(f"building and counting {name}")
            found.append(_described(name))
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        for plain in found:
            _show(plain)
    return int(ExitCode.OK)


def _described(name: str) -> dict[str, Any]:
    image = build(name)
    values = dict(image.template.values)
    return {
        "template": name,
        **values,
        "used": image.used,
        "counts": {machine: _count(machine, image) for machine in image.template.words("machines")},
    }


def _count(machine: str, image: Image) -> dict[str, int]:
    """Device accesses and instructions of the plain guest of a machine."""
    outcome = emulate(Guest(machine), image).outcome
    return {"accesses": len(outcome.accesses), "instructions": outcome.instructions}


def _show(plain: dict[str, Any]) -> None:
    console = output()
    console.print(f"{plain['template']}: {plain['what']}")
    console.print(f"  enters kernels by {', '.join(plain['protocols'])}")
    on = [k for k, v in plain.items() if v is True]
    on += ["pci"] if plain["pci"] == "full" else []
    console.print(f"  does besides: {', '.join(on) or 'nothing'}")
    console.print(f"  {plain['used']} bytes used, at most {plain['budget']}")
    table = Table(box=None, pad_edge=False, show_header=True)
    for heading in ("  machine", "accesses", "instructions"):
        table.add_column(heading, justify="left" if "m" in heading[:3] else "right")
    for machine, count in plain["counts"].items():
        table.add_row(f"  {machine}", str(count["accesses"]), str(count["instructions"]))
    console.print(table)
