"""Reads back what an image says of itself (abi/identity.py)."""

from dataclasses import dataclass

from fwbuild.firmware import identity
from fwbuild.firmware.layout import IMAGE_SIZE, ROM


@dataclass(frozen=True)
class Identity:
    """fwbuild's version, the template, and the address of the first byte that is used."""

    version: str
    template: str
    start: int


def read_identity(image: bytes) -> Identity | None:
    """The identity of an image, None for one that is not fwbuild's or is cut off."""
    if not image or len(image) % IMAGE_SIZE:
        return None
    rom = image[-IMAGE_SIZE:]
    record = identity.RECORD.parse(rom[identity.ADDRESS - ROM.base :])
    if (record.magic, record.format) != (identity.MAGIC, identity.FORMAT):
        return None
    text = rom[record.start :].partition(b"\0")[0].decode("utf-8", "replace")
    version, _, template = text.partition(" ")
    return Identity(version, template, ROM.base + record.start)
