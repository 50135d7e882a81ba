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


def broken(image: Image, routine: str, code: bytes) -> bytes:
    """The image with other instructions at the start of a routine."""
    at = image.linked.addresses[routine] - ROM.base
    return image.image[:at] + code + image.image[at + len(code) :]


def expected(image: Image, routine: str, number: int, offset: int) -> str:
    address = image.linked.addresses[routine] + offset & work.EXCEPTION_ADDRESS
    return f"fwbuild: {STOP.code:02x} {STOP.what} {number:02x}{address:06x}\n"
