"""Images with an instruction that faults, and the stop that it ends in."""

from fwbuild.firmware import stop_codes, work
from fwbuild.firmware.layout import ROM
from fwbuild.image.build import Image

STOP = stop_codes.BY_NAME["EXCEPTION"]

# name: (code, number of the exception, how far into the code it happens)
FAULTS = {
    "division by zero": ("31c9f7f1", 0, 2),
    "undefined instruction": ("900f0b", 6, 1),
    "bad selector": ("66b8f8078ed8", 13, 4),
    "segment not present": ("66b800088ec0", 13, 4),
}


def statement_at(image: Image, routine: str, text: str) -> int:
    """The address of the first statement of a routine that reads so."""
    lines = image.linked.lines[routine]
    return next(line.address for line in lines if line.statement.text == text)


def broken_at(image: Image, address: int, code: bytes) -> bytes:
    """The image with other instructions at an address."""
    at = address - ROM.base
    return image.image[:at] + code + image.image[at + len(code) :]


def broken(image: Image, routine: str, code: bytes) -> bytes:
    """The image with other instructions at the start of a routine."""
    return broken_at(image, image.linked.addresses[routine], code)


def expected(image: Image, routine: str, number: int, offset: int) -> str:
    address = image.linked.addresses[routine] + offset & work.EXCEPTION_ADDRESS
    return f"fwbuild: {STOP.code:02x} {STOP.what} {number:02x}{address:06x}\n"
