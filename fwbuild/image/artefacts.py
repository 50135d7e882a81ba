"""The files beside an image: map, listing, ELF with symbols, and JSON of it all.

All are functions of the image alone: no path, no clock, no host name.
"""

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

from fwbuild.assembler.source import Fragment
from fwbuild.documents import render
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.files import check_name, write_all
from fwbuild.firmware import layout
from fwbuild.firmware.layout import ROM
from fwbuild.image import place
from fwbuild.image.build import Image
from fwbuild.image.copies import copies, places
from fwbuild.image.dwarf import debug_sections
from fwbuild.image.elf import Segment, Symbol, symbols_of, write_elf
from fwbuild.version import __version__

READ_EXECUTE = 5


def description(image: Image) -> dict[str, Any]:
    """The image as plain data: what the map shows and --json prints. Sizes in bytes."""
    linked = image.linked
    return {
        "fwbuild": __version__,
        "template": image.template.name,
        "machines": list(image.template.words("machines")),
        "protocols": list(image.template.words("protocols")),
        "sha256": hashlib.sha256(image.image).hexdigest(),
        "size": len(image.image),
        "used": image.used,
        "free": ROM.size - image.used,
        "rom": [
            {
                "name": f.name,
                "address": linked.addresses[f.name],
                "size": linked.size(f.name),
                "kind": f.contract.kind,
                "source": f"{f.file}:{f.line}",
                "what": f.contract.title,
            }
            for f in linked.fragments
        ],
        "ram": [
            {"name": r.name, "address": r.base, "size": r.size, "what": r.what} for r in layout.RAM
        ],
    }


def listing(image: Image) -> str:
    """Every statement of the image, a fragment after the other."""
    return "\n".join(listing_of(image, fragment) for fragment in image.linked.fragments)


def listing_of(image: Image, fragment: Fragment) -> str:
    """Every statement of a fragment: address, bytes, text and source line."""
    lines = [f"{fragment.name}: {fragment.contract.title}"]
    for encoded in image.linked.lines[fragment.name]:
        code = encoded.code.hex()
        shown = code if len(code) <= 24 else code[:22] + ".."
        statement = encoded.statement
        text = f"{statement.text:58}  {statement.where}"
        lines.append(f"{encoded.address:08x}  {shown:24}  {text}")
    return "\n".join(lines) + "\n"


def statements(image: Image, fragment: Fragment) -> list[dict[str, Any]]:
    """The same as plain data: what `disasm --json` prints. `code` is in hexadecimal."""
    return [
        {
            "symbol": fragment.name,
            "address": encoded.address,
            "code": encoded.code.hex(),
            "text": encoded.statement.text,
            "source": encoded.statement.where,
        }
        for encoded in image.linked.lines[fragment.name]
    ]


def elf(image: Image) -> bytes:
    """The used part of the ROM at its address, and what of it runs in RAM at that; a symbol for
    each fragment and RAM region, and the source line of each instruction."""
    linked = image.linked
    symbols = symbols_of(linked)
    symbols += [Symbol(f"ram_{r.name}", r.base, r.size, "absolute") for r in layout.RAM]
    ranges = [(image.start, image.start, image.used)]
    ranges += [(c.start, c.to, c.size) for c in copies(linked)]
    segments = []
    for start, to, size in ranges:
        data = image.image[start - ROM.base :][:size]
        segments.append(Segment(to, data, size, READ_EXECUTE))
    debug = debug_sections(linked, partial(places, linked))
    return write_elf(segments, symbols, linked.addresses[place.RESET], debug=debug)


def write(image: Image, out: Path) -> dict[str, Any]:
    """Write the image to `out` and the artefacts beside it; all of them or none. Returns the
    description."""
    check_name(out)
    plain = description(image)
    contents = {
        out: image.image,
        out.with_suffix(".map"): render("image.map.j2", **plain).encode(),
        out.with_suffix(".lst"): listing(image).encode(),
        out.with_suffix(".elf"): elf(image),
        out.with_suffix(".json"): (json.dumps(plain, indent=1) + "\n").encode(),
    }
    if len(contents) != 5:
        raise FwbuildError(
            ExitCode.USAGE,
            "the image's name clashes with an artefact's",
            where=str(out),
            hint="give it the suffix .bin",
        )
    write_all(contents)
    return plain
