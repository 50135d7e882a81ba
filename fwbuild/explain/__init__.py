"""Tell the meanings of a number, a name or a line of the console: `fwbuild explain`.

A word may have several: 33 is a stop code, the status of a QEMU that another one ended, and an
address. All of them are told.
"""

from fwbuild.explain import addresses, codes, names
from fwbuild.explain.meaning import Meaning
from fwbuild.image.build import Image


def explain(words: str, image: Image) -> list[Meaning]:
    """Every meaning of a text in an image, the likeliest first; none for an unknown text.

    `words` is a number (hexadecimal after 0x), a symbol, the name of a fw_cfg file, or a line
    with a stop as the firmware prints it.
    """
    return [
        *codes.console_line(words),
        *codes.numbers(words),
        *addresses.addresses(words, image),
        *names.names(words, image),
    ]


__all__ = ["Meaning", "explain"]
