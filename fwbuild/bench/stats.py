"""Medians and ratios of few runs on a machine that does other things too.

Runs are compared in pairs of the same round, so that what slows the machine down slows both
down. The noise is one-sided and no normal distribution, so times are given as median and
extremes, and a ratio as median and the confidence interval that order statistics give, which
asks for no distribution at all.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

UNSURE = 0.05  # of the cases may lie outside a ratio's interval


@dataclass(frozen=True)
class Summary:
    """The middle of `count` values, and the extremes or the bounds of the middle."""

    median: float
    low: float
    high: float
    count: int


def summarize(values: Sequence[float | None]) -> Summary | None:
    """The summary of those values that there are, if any."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Summary(statistics.median(known), min(known), max(known), len(known))


def pair_ratios(values: Sequence[float | None], baseline: Sequence[float | None]) -> Summary | None:
    """The median of value / baseline, round by round, and its confidence interval; a round that
    lacks one of them is left out."""
    pairs = zip(values, baseline, strict=True)
    return _middle([a / b for a, b in pairs if a is not None and b])


def pair_differences(values: Sequence[float], baseline: Sequence[float]) -> Summary | None:
    """The median of value - baseline, round by round, and its confidence interval."""
    return _middle([a - b for a, b in zip(values, baseline, strict=True)])


def _middle(values: list[float]) -> Summary | None:
    """The median, and the interval that holds it as outside() says."""
    if not values:
        return None
    values.sort()
    outer = outside(len(values))
    return Summary(statistics.median(values), values[outer], values[-1 - outer], len(values))


def outside(count: int) -> int:
    """How many of `count` values, from either end, lie outside the interval that holds the
    median in 95 of 100 cases: none of up to eight. Of five or fewer the extremes hold it less
    surely (five: 94).

    Source: the sign test; a value is below the median as a coin falls. H. A. David and
    H. N. Nagaraja, Order Statistics, 3rd edition, 7.1.
    """
    found, tail = 0, 1  # `tail` of 2**count: the cases with at most `found` values below
    while 2 * (tail := tail + comb(count, found + 1)) <= UNSURE * 2**count:
        found += 1
    return found


def within_noise(ratio: Summary) -> bool:
    """Whether the ratio's interval holds 1: then neither of the two is the larger."""
    return ratio.low <= 1 <= ratio.high
