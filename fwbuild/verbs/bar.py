"""A memory map as bars of characters, to scale."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fwbuild.abi import e820
from fwbuild.sizes import GIB, KIB, MIB

# First the types of memory, then what the firmware is done with. All else is drawn over them.
LETTERS = {
    ".": "RAM",
    "-": "reserved",
    "?": "of another type",
    "N": "ACPI NVS",
    "F": "firmware",
    "K": "kernel",
    "I": "initrd or module",
    "T": "tables",
    "H": "handed over",
}
MEMORY = ".N"  # what lies in RAM
LAYERS = (".-?N", "F")  # from below; the other letters lie above these
OF_TYPE = {e820.Type.RAM: ".", e820.Type.RESERVED: "-", e820.Type.NVS: "N"}


@dataclass(frozen=True)
class Span:
    """[start, end) and the letter that it is drawn with."""

    start: int
    end: int
    letter: str


@dataclass(frozen=True)
class Bar:
    """A stretch of addresses: a character for each `unit` bytes."""

    start: int
    end: int
    unit: int
    text: str

    @property
    def scale(self) -> str:
        """The unit in words."""
        for size, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
            if self.unit >= size:
                return f"{self.unit / size:.3g} {name}"
        return f"{self.unit} bytes"


def bars(spans: Sequence[Span], columns: int) -> Iterator[Bar]:
    """A bar for each stretch that has RAM: below 1 MiB, up to 4 GiB, and above."""
    ram = [span for span in spans if span.letter in MEMORY]
    for low, high in ((0, e820.EXTENDED), (e820.EXTENDED, e820.FOUR_GIB), (e820.FOUR_GIB, 1 << 64)):
        ends = [min(span.end, high) for span in ram if span.start < high and span.end > low]
        if ends:
            yield _bar(spans, low, high if high == e820.EXTENDED else max(ends), columns)


def _order(span: Span) -> tuple[int, int]:
    """Of two of a layer in one column the smaller is seen, for the larger has others."""
    layer = next((i for i, letters in enumerate(LAYERS) if span.letter in letters), len(LAYERS))
    return layer, span.start - span.end


def _bar(spans: Sequence[Span], start: int, end: int, columns: int) -> Bar:
    unit = -(-(end - start) // columns)
    cells = [" "] * -(-(end - start) // unit)
    for span in sorted(spans, key=_order):
        first, last = max(span.start, start) - start, min(span.end, end) - 1 - start
        for cell in range(first // unit, last // unit + 1) if first <= last else ():
            cells[cell] = span.letter
    return Bar(start, end, unit, "".join(cells))
