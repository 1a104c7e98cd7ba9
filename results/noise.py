"""The A/A noise floor: what `none` against itself gives, so that nothing smaller is called a finding.

`none` is read a second time. Signed statistics (extra bits, a gap, a win rate less 1/2): the labels of the two readings
are swapped at random cluster by cluster, and the band is the 95% quantile of the statistic's absolute value. Sums that
cannot be negative (KL divergence, flips): the band is the upper bound of the A/A value itself.

An interval holds sampling noise; the band marks irrelevance. They are never added: a claim needs its interval clear of
0 *and* its value outside the band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from results.estimate import Estimate
from results.resampling import flipped_means
from results.statistics import LEVEL, Array, Contrast, mean

Kind = Literal["batch shape", "re-run"]
"""``re-run``: the same computation once more, A/A in the strict sense. ``batch shape``: the same passages or
items in other batches, which is numerical sensitivity and called so. On a CPU a re-run gives the same bits: floor 0."""


@dataclass(frozen=True)
class Floor:
    """The band of one metric in one language: values within +-``band`` mean nothing."""

    metric: str
    """``extra_bits``, ``log_ratio``, ``gap``, ``kld``, ``margin``, ``accuracy`` ..."""
    language: str
    band: float
    mean: Estimate
    """The A/A value itself; for a signed metric its interval must hold 0."""
    kind: Kind = "batch shape"
    setting: str = ""

    def holds(self, value: float) -> bool:
        """Whether a value lies inside the band. A band of 0 holds nothing, 0 itself excepted."""
        return abs(value) <= self.band

    @property
    def is_centred(self) -> bool:
        """Whether the A/A mean agrees with 0. If not, the two readings differ systematically: look for a fault."""
        low, high = self.mean.low, self.mean.high
        return low is None or high is None or low <= 0 <= high


def signed_floor(
    metric: str,
    language: str,
    values: Sequence[float] | Array,
    kind: Kind = "batch shape",
    setting: str = "",
    level: float = LEVEL,
    among: int | None = None,
) -> Floor:
    """The floor of a signed metric from its A/A values ``(n,)`` by cluster, whose mean is the metric.

    ``among``: how many clusters the metric itself is a mean over, where not all of them were read again: the band
    shrinks by sqrt(n / among), as the error of a mean does.
    """
    band = swap_band(values, level) * (len(values) / (among or len(values))) ** 0.5
    return Floor(metric, language, band, mean(values).interval(level), kind, setting)


def positive_floor(
    metric: str, language: str, found: Contrast, kind: Kind = "batch shape", setting: str = "", level: float = LEVEL
) -> Floor:
    """The floor of a metric that is 0 at best (KL divergence, flips): the upper bound of its A/A value.

    KL divergence computed in float32 may come out a hair below 0: the band is the larger of the bound's sizes.
    """
    estimate = found.interval(level)
    ends = [found.value, *(end for end in (estimate.low, estimate.high) if end is not None)]
    return Floor(metric, language, max(map(abs, ends)), estimate, kind, setting)


def swap_band(values: Sequence[float] | Array, level: float = LEVEL) -> float:
    """The ``level`` quantile of the absolute mean under random label swaps, by cluster. ``(n,)`` -> one number."""
    found = np.abs(flipped_means(values))
    return float(np.quantile(found, level, method="higher"))
