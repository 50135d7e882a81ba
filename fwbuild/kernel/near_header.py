"""Tells why a file that was meant for Multiboot is not taken for it: its header is none.

Source: Multiboot Specification 0.6.96, 3.1; Multiboot2 Specification 2.0, 3.1.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from fwbuild.abi import multiboot, multiboot2

LOOKED_AT = 1 << 12  # of one magic number: what a file has more of is data


class Form(NamedTuple):
    """What is asked of a header: its structure and alignment, in how many bytes it has to begin,
    and the fields whose sum is 0."""

    name: str
    magic: int
    struct: Any
    align: int
    room: int
    summed: tuple[str, ...]


FORMS = (
    Form(
        "Multiboot 2",
        multiboot2.HEADER_MAGIC,
        multiboot2.HEADER,
        multiboot2.HEADER_ALIGN,
        multiboot2.HEADER_SEARCH - multiboot2.HEADER.sizeof() + multiboot2.HEADER_ALIGN,
        ("magic", "architecture", "header_length", "checksum"),
    ),
    Form(
        "Multiboot",
        multiboot.HEADER_MAGIC,
        multiboot.HEADER,
        4,
        multiboot.HEADER_SEARCH - multiboot.HEADER.sizeof(),
        ("magic", "flags", "checksum"),
    ),
)


def near_header(data: bytes) -> str:
    """Why what looks like a header is none, for a file without one; "" where nothing does.
    A number that merely is the magic one does not."""
    found = (f"{form.name}: {why}" for form in FORMS for why in _near(form, data))
    return next(found, "")


def _near(form: Form, data: bytes) -> Iterator[str]:
    for at in islice(_places(form.magic.to_bytes(4, "little"), data), LOOKED_AT):
        header = form.struct.parse(data[at : at + form.struct.sizeof()].ljust(64, b"\0"))
        sound = sum(header[name] for name in form.summed) % (1 << 32) == 0
        what = f"what looks like its header at {at:#x} is none:"
        if sound and at >= form.room:
            yield f"{what} it has to begin in the file's first {form.room} bytes"
        elif sound and at % form.align:
            yield f"{what} it is not aligned to {form.align} bytes"
        elif sound and (other := header.get("architecture")):
            yield f"{what} it is for architecture {other}"
        elif not sound and at < form.room and at % form.align == 0:
            yield f"{what} its checksum is wrong"


def _places(magic: bytes, data: bytes) -> Iterator[int]:
    """The offsets at which a magic number begins."""
    at = -1
    while (at := data.find(magic, at + 1)) >= 0:
        yield at
