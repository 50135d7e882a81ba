"""Jumps to a routine that never returns, by way of each other.

Such a jump may land on another jump to the same routine. One within the reach of a short branch
saves 3 bytes, or 4 where the jump has a condition, and costs an instruction on a way that comes
back to nobody. Where a file stops in many places that is most of its jumps.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from fwbuild.assembler.encoder import split_mnemonic
from fwbuild.assembler.source import Fragment, Statement

SHORT = 2  # bytes of a short branch
FORWARD, BACK = 0x7F + SHORT, 0x80 - SHORT  # its reach, from its own first byte on


class Spot(NamedTuple):
    """A line of the program: its fragment's name, and its number among the fragment's lines."""

    fragment: str
    line: int


class Line(Protocol):
    """What is asked of a line in the image."""

    @property
    def statement(self) -> Statement: ...
    @property
    def address(self) -> int: ...


class Jump(NamedTuple):
    """A jump to a routine that never returns."""

    address: int
    spot: Spot
    always: bool  # without a condition


def hops(
    fragments: Sequence[Fragment], addresses: Mapping[str, int], lines: Mapping[str, Sequence[Line]]
) -> dict[Spot, Spot]:
    """For each jump that is to go by way of another one: that one. A `jmp` only goes back, so none
    goes round in a circle."""
    found: dict[Spot, Spot] = {}
    for target, jumps in _jumps(fragments, lines).items():
        ways = [jump for jump in jumps if jump.always]
        for jump in jumps:
            if -BACK <= addresses[target] - jump.address <= FORWARD:
                continue
            reach = range(jump.address - BACK, jump.address)
            if not jump.always:
                reach = range(reach.start, jump.address + FORWARD + 1)
            way = next((other for other in ways if other.address in reach), None)
            if way:
                found[jump.spot] = way.spot
    return found


def _jumps(
    fragments: Sequence[Fragment], lines: Mapping[str, Sequence[Line]]
) -> dict[str, list[Jump]]:
    """The 32-bit jumps to each routine that never returns, in the order of their addresses. A
    group is copied elsewhere, and its jumps with it."""
    endless = {f.name for f in fragments if not f.contract.returns}
    found: dict[str, list[Jump]] = {}
    for fragment in fragments:
        if fragment.group or fragment.contract.bits != 32:
            continue
        for number, line in enumerate(lines[fragment.name]):
            _, mnemonic, target = split_mnemonic(line.statement.text)
            if mnemonic[:1] == "j" and target in endless and line.statement.bits == 32:
                jump = Jump(line.address, Spot(fragment.name, number), mnemonic == "jmp")
                found.setdefault(target, []).append(jump)
    for jumps in found.values():
        jumps.sort()
    return found
