"""The test kernel's report of the BIOS calls that it made, and the answers that are right."""

from typing import Any

from fwbuild.abi import e820
from fwbuild.firmware import layout
from fwbuild.sizes import MIB

Report = dict[str, list[list[str]]]

# label: what the words say, by the references that abi/bios.py names
ANSWERS = {
    "cmdline": ["hello"],
    "memory": [f"{layout.BIOS.base >> 10:04x}"],
    "equipment": ["0220"],  # 80 x 25, one serial port
    "disk": ["1"],  # CF
    "vbe": ["014f"],  # known, failed
    "mode": ["5003"],  # 80 columns, mode 3
    "key": ["0001"],  # ZF: none
    "clock": ["1"],  # CF
    "unknown": ["18600"],  # CF, AH 86h
    "a20": ["0"],
    "extended": ["fc00"],  # 63 MiB is all it can tell
    "tick": ["0001"],
    "time": ["0001"],  # has gone on
}


def reported(text: str) -> Report:
    """The test kernel's output by label: a list of words for each time a label is printed."""
    found: Report = {}
    for line in text.splitlines():
        label, *words = line.split()
        found.setdefault(label, []).append(words)
    return found


def ranges_of(found: Report) -> list[Any]:
    """The memory map in the test kernel's report."""
    return [
        e820.ENTRY.parse(b"".join(int(w, 16).to_bytes(2, "little") for w in words))
        for words in found["range"]
    ]


def e801_of(ranges: list[Any]) -> list[str]:
    """AX and DX of INT 15h E801 for a map: KiB from 1 to 16 MiB, 64 KiB units above."""
    (size,) = (r.size for r in ranges if r.addr == e820.EXTENDED)
    return ["3c00", f"{(size - 15 * MIB) // 0x10000:04x}"]
