"""Places fragments in the ROM: everything directly below the reset vector, at the top."""

from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise

from fwbuild.abi import x86
from fwbuild.assembler.link import Place
from fwbuild.assembler.source import Fragment
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.firmware import identity, layout
from fwbuild.firmware.layout import ROM, Region
from fwbuild.sizes import align_up

RESET = "reset_vector"
RECORD = "identity_record"
TEXT = "identity_text"
FIXED = {RESET: x86.RESET_VECTOR, RECORD: identity.ADDRESS}
ALIGN_DATA = 4
ALIGN_START = 4
LAYOUT = "the regions are in fwbuild/firmware/layout.py"
PLACES = "the places that are fixed are in fwbuild/image/place.py"


def place(fragments: Sequence[Fragment], sizes: Mapping[str, int]) -> dict[str, int]:
    """Addresses: the identity's text, read-only data, then code, ending at the reset vector. A
    group counts as what its first fragment is. Data is aligned as far as its size is: no padding is
    needed where the largest alignment comes first."""
    free = (f for f in fragments if f.name not in FIXED)
    units = [list(unit) for _, unit in groupby(free, key=lambda f: f.group or f.name)]

    def alignment(unit: list[Fragment]) -> int:
        size = sizes[unit[0].name]
        return min(ALIGN_DATA, size & -size) if unit[0].contract.kind == "data" else 0

    units.sort(key=lambda unit: (unit[0].name != TEXT, -alignment(unit)))
    offsets, at = {}, 0
    for unit in units:
        at = align_up(at, max(alignment(unit), 1))
        for fragment in unit:
            offsets[fragment.name] = at
            at += sizes[fragment.name]
    base = x86.RESET_VECTOR - align_up(at, ALIGN_START)
    return {name: base + offset for name, offset in offsets.items()} | FIXED


def one_after_the_other(base: int) -> Place:
    """The placement of a program that is not a ROM: from `base` on, in the given order."""

    def place_all(fragments: Sequence[Fragment], sizes: Mapping[str, int]) -> dict[str, int]:
        addresses, at = {}, base
        for fragment in fragments:
            addresses[fragment.name] = at
            at += sizes[fragment.name]
        return addresses

    return place_all


def check(addresses: Mapping[str, int], sizes: Mapping[str, int], budget: int) -> None:
    """Raise FwbuildError for a placement that does not fit: the region, its size, the shortfall."""
    for problem in layout.problems():
        raise FwbuildError(ExitCode.LAYOUT, problem, where="the RAM layout", hint=LAYOUT)
    used = ROM.end - min(addresses.values())
    room = ROM.size - layout.F_SEGMENT.size
    for what, limit in (("ROM", room), ("the template's budget", budget)):
        if used > limit:
            raise FwbuildError(
                ExitCode.LAYOUT,
                f"{used} bytes do not fit {what} of {limit}: {used - limit} too many",
                hint="leave a protocol or an option out of the template, or raise its budget",
            )
    regions = sorted(
        (Region(n, a, sizes[n], "") for n, a in addresses.items()), key=lambda r: r.base
    )
    for a, b in pairwise(regions):
        if a.overlaps(b):
            what = f"{a.name} overlaps {b.name} by {a.end - b.base}"
            raise FwbuildError(ExitCode.LAYOUT, what, where="ROM", hint=PLACES)
    if regions[-1].end > ROM.end:
        what = f"{regions[-1].name} passes 4 GiB"
        raise FwbuildError(ExitCode.LAYOUT, what, where="ROM", hint=PLACES)
