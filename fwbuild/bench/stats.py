"""Medians and ratios of few runs on a machine that does other things too.

Runs are compared in pairs of the same round, so that what slows the machine down slows both
down; medians and extremes are given, since the noise is one-sided and no normal distribution.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """The middle and the extremes of `count` values."""

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


def pair_ratios(
    values: Sequence[float | None], baseline: Sequence[float | None]
) -> Summary | None:
    """The summary of value / baseline, round by round; a round that lacks one is left out."""
    pairs = zip(values, baseline, strict=True)
    return summarize([a / b for a, b in pairs if a is not None and b])


def within_noise(ratio: Summary) -> bool:
    """Whether the rounds disagree which of the two is the larger: then neither is."""
    return ratio.low <= 1 <= ratio.high
