"""The build: constants -> sources -> link -> image."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fwbuild.assembler.link import Linked, Linker, reachable
from fwbuild.assembler.source import Fragment
from fwbuild.firmware import data
from fwbuild.firmware.layout import ROM
from fwbuild.firmware.stop_codes import STOPS, Stop
from fwbuild.firmware.symbols import symbols
from fwbuild.image import place
from fwbuild.image.sources import read_firmware
from fwbuild.image.template import DEFAULT, Template

STOP = re.compile(r"\bstop_codes\.(\w+)")  # in a line of assembly


@dataclass(frozen=True)
class Image:
    """A built image: its bytes (layout.IMAGE_SIZE), and the program they came from."""

    template: Template
    linked: Linked
    image: bytes

    @property
    def start(self) -> int:
        """Address of the first byte that is used."""
        return min(self.linked.addresses.values())

    @property
    def used(self) -> int:
        """Bytes used, from the first fragment to the end of the ROM."""
        return ROM.end - self.start

    def usage(self) -> str:
        """The usage line."""
        free = ROM.size - self.used
        return f"{self.used} of {ROM.size} bytes used ({self.used / ROM.size:.1%}), {free} free"


def build_image(template: str | Path | Template = DEFAULT, **values: object) -> Image:
    """The image of a template: its name, the path of a TOML file, or the template itself.
    `values` replace those of some options, as Template.with_values does."""
    chosen = template if isinstance(template, Template) else Template.load(template)
    return _build(chosen.with_values(**values))


@cache
def _build(chosen: Template) -> Image:
    """The image of a template: nothing else goes into it."""
    known = all_symbols(chosen)
    code, entries = read_firmware(known), [place.RESET, place.RECORD]
    stops = stops_of(reachable(data.fragments(chosen.name) + code, entries))
    fragments = data.fragments(chosen.name, stops) + code
    linked = Linker(known).link(fragments, entries, place.place)
    sizes = {f.name: linked.size(f.name) for f in linked.fragments}
    place.check(linked.addresses, sizes, chosen.budget)
    return Image(chosen, linked, linked.bytes_at(ROM.base, ROM.size))


def stops_of(fragments: Iterable[Fragment]) -> list[Stop]:
    """The stops that the assembly of some fragments names."""
    found: set[str] = set()
    for fragment in fragments:
        for statement in fragment.statements:
            found.update(STOP.findall(statement.text))
    return [stop for stop in STOPS if stop.name in found]


def all_symbols(chosen: Template) -> dict[str, int]:
    """Every symbol that the assembly of this template's image may name."""
    return symbols() | chosen.symbols()
