"""Medians, extremes and ratios in pairs."""

from collections.abc import Sequence

import pytest

from fwbuild.bench.stats import (
    Summary,
    outside,
    pair_differences,
    pair_ratios,
    summarize,
    within_noise,
)

SUMMARIES: dict[str, tuple[Sequence[float | None], Summary | None]] = {
    "odd": ([3, 1, 2], Summary(2, 1, 3, 3)),
    "even": ([4, 1, 2, 3], Summary(2.5, 1, 4, 4)),
    "one outlier does not move the middle": ([1, 1, 100], Summary(1, 1, 100, 3)),
    "a failed round is left out": ([None, 5, None], Summary(5, 5, 5, 1)),
    "nothing": ([None, None], None),
    "no rounds": ([], None),
}
RATIOS: dict[str, tuple[Sequence[float | None], Sequence[float | None], Summary | None]] = {
    # 2/1, 30/10, 4/1: each round by itself, not the ratio of the medians, which is 4
    "by round": ([2, 30, 4], [1, 10, 1], Summary(3, 2, 4, 3)),
    "a slow machine is slow for both": ([10, 100], [5, 50], Summary(2, 2, 2, 2)),
    "a round without its pair": ([2, None, 9], [1, 1, None], Summary(2, 2, 2, 1)),
    "no pair at all": ([None, 1], [1, None], None),
    "no time at all": ([1], [0], None),
}


@pytest.mark.parametrize("case", SUMMARIES)
def test_summarize(case: str) -> None:
    values, expected = SUMMARIES[case]
    assert summarize(values) == expected


@pytest.mark.parametrize("case", RATIOS)
def test_pair_ratios(case: str) -> None:
    values, baseline, expected = RATIOS[case]
    assert pair_ratios(values, baseline) == expected


def test_pair_differences() -> None:
    """By round: of a slow one the difference, not the time."""
    assert pair_differences([3, 105, 30], [1, 100, 20]) == Summary(5, 2, 10, 3)
    assert pair_differences([], []) is None


# The published table of the ranks that bound a median's confidence interval, 95 %.
RANKS = {6: 1, 8: 1, 9: 2, 11: 2, 12: 3, 15: 4, 17: 5, 20: 6, 25: 8, 30: 10, 40: 14, 50: 18}


@pytest.mark.parametrize("count", RANKS)
def test_outside(count: int) -> None:
    assert outside(count) == RANKS[count] - 1


def test_outliers_do_not_widen_a_ratio() -> None:
    values = [0.1, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 2.1, 90.0]
    assert pair_ratios(values, [1.0] * 9) == Summary(1.8, 1.5, 2.1, 9)


@pytest.mark.parametrize(
    ("low", "high", "noise"), [(0.9, 1.1, True), (1.0, 2.0, True), (1.01, 2, False),
                               (0.5, 0.99, False)]
)  # fmt: skip
def test_noise(low: float, high: float, noise: bool) -> None:
    assert within_noise(Summary((low + high) / 2, low, high, 5)) == noise
