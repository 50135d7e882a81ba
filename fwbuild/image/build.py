"""The build: constants -> sources -> link -> image."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

from fwbuild import abi, layout
from fwbuild.assembler.link import Linked, Linker
from fwbuild.image import data, place, template
from fwbuild.image.sources import read_sources
from fwbuild.image.template import Template
from fwbuild.layout import ROM


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


def build_image(name: str = template.DEFAULT, *, switches: Iterable[str] = ()) -> Image:
    """Build the image of a template (a name, or the path of a TOML file); `switches` of
    template.SWITCHES are on whatever it says, and may take it past its budget."""
    chosen = template.load(name)
    if more := frozenset(switches):
        chosen = replace(chosen, switches=chosen.switches | more, budget=ROM.size)
    return _build(chosen)


@cache
def _build(chosen: Template) -> Image:
    """The image of a template: nothing else goes into it."""
    symbols = abi.symbols() | layout.symbols() | chosen.symbols()
    fragments = data.fragments(chosen.name) + read_sources("asm", symbols)
    linked = Linker(symbols).link(fragments, [place.RESET, place.RECORD], place.place)
    sizes = {f.name: linked.size(f.name) for f in linked.fragments}
    place.check(linked.addresses, sizes, chosen.budget)
    return Image(chosen, linked, linked.bytes_at(ROM.base, ROM.size))
