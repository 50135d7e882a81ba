"""What a build leaves beside the image: map, listing, ELF with symbols, and JSON of it all.

All are functions of the image alone: no path, no clock, no host name.
"""

import errno
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import jinja2

from fwbuild import __version__, layout
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.image import place
from fwbuild.image.build import Image
from fwbuild.image.elf import Segment, Symbol, symbols_of, write_elf
from fwbuild.image.sources import data_dir
from fwbuild.layout import ROM

READ_EXECUTE = 5


def render(name: str, **values: Any) -> str:
    """A Jinja2 template of templates/."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_dir("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=jinja2.select_autoescape(["html.j2"], default=False),  # the rest is plain text
    )
    return environment.get_template(name).render(**values)


def description(image: Image) -> dict[str, Any]:
    """The image as plain data: what the map shows and --json prints. Sizes in bytes."""
    linked = image.linked
    return {
        "fwbuild": __version__,
        "template": image.template.name,
        "machines": list(image.template.machines),
        "protocols": list(image.template.protocols),
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
    """Every statement: address, bytes, text and source line."""
    lines = []
    for fragment in image.linked.fragments:
        lines += ["", f"{fragment.name}: {fragment.contract.title}"]
        for encoded in image.linked.lines[fragment.name]:
            code = encoded.code.hex()
            shown = code if len(code) <= 24 else code[:22] + ".."
            statement = encoded.statement
            text = f"{statement.text:58}  {statement.where}"
            lines.append(f"{encoded.address:08x}  {shown:24}  {text}")
    return "\n".join(lines[1:]) + "\n"


def elf(image: Image) -> bytes:
    """The used part of the ROM at its address, with a symbol for each fragment and RAM region."""
    linked = image.linked
    symbols = symbols_of(linked)
    symbols += [Symbol(f"ram_{r.name}", r.base, r.size, "absolute") for r in layout.RAM]
    data = image.image[image.start - ROM.base :]
    segment = Segment(image.start, data, len(data), READ_EXECUTE)
    return write_elf([segment], symbols, linked.addresses[place.RESET])


def write(image: Image, out: Path) -> dict[str, Any]:
    """Write the image to `out` and the artefacts beside it; all of them or none. Returns the
    description."""
    if not out.name:
        raise FwbuildError(ExitCode.INPUT, "cannot write: not a file name", where=str(out))
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


def write_all(contents: dict[Path, bytes]) -> None:
    """Write files so that each is whole or was never touched.

    A folder or a device in the way of any of them is found before the first is replaced."""
    pending: list[tuple[str, Path]] = []
    path = Path()
    try:
        for path, data in contents.items():
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if path.exists() and not path.is_file():
                raise OSError(errno.EINVAL, "not a regular file")
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            pending.append((name, path))
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            Path(name).chmod(0o644)
        for name, path in pending:
            Path(name).replace(path)
    except OSError as error:
        raise FwbuildError(
            ExitCode.INPUT, f"cannot write: {error.strerror}", where=str(path)
        ) from None
    finally:
        for name, _ in pending:
            Path(name).unlink(missing_ok=True)
