"""Intervals and tests in closed form. Every number here rests on independent clusters: passages, windows or items.

A `Contrast` is a value with its standard error and degrees of freedom; intervals and p values follow from it with
Student's t. The functions make one from clusters:

    mean(values)                             a plain mean
    cluster_mean(values, clusters)           a mean of items, some of which share a cluster
    cluster_share(values, clusters)          the same of yes and no
    jackknife(statistic, columns)            any smooth function of column sums, by leaving out one cluster at a time
    crossed(matrix)                          calibration draws x passages, both random

``columns`` is float ``(n, c)``: row i holds the c sums of cluster i. Rows must be independent; columns may be as
dependent as they like, which is how languages and variants read on the same passages stay paired.

Beside it: `resampling` (bootstraps, sign flips, permutations), `multiplicity` (Holm, Benjamini-Hochberg), `power`
(what data can show), `items` (right and wrong answers), `winrate` (judged duels), `noise` (A/A floors).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import special

from results.estimate import Estimate

LEVEL = 0.95
ALPHA = 0.05

Array = np.ndarray
Statistic = Callable[[Array], Array]
"""Column sums ``(..., c)`` -> values ``(...)``."""
Transform = Literal["ratio", "log", "exp"]


@dataclass(frozen=True)
class Contrast:
    """A value, its standard error, and the degrees of freedom of that error. ``df`` 0: one cluster, nothing known."""

    value: float
    se: float
    df: float
    clusters: int
    method: str = "t"
    n: int | None = None

    def interval(self, level: float = LEVEL) -> Estimate:
        """Value with its two-sided t interval; without bounds where a single cluster tells nothing of the spread."""
        if self.df <= 0:
            return Estimate(self.value, clusters=self.clusters, n=self.n)
        half = float(special.stdtrit(self.df, 0.5 + level / 2)) * self.se
        return Estimate(
            self.value, self.value - half, self.value + half, level, self.method, self.df, self.clusters, self.n
        )

    def p_greater(self, than: float = 0.0) -> float:
        """One-sided p of H0: the truth is at most ``than``."""
        distance = self.value - than
        if self.df <= 0:
            return 1.0
        if self.se == 0:  # an exact comparison: a variant against itself must not divide by zero
            return 0.0 if distance > 0 else 1.0
        return float(special.stdtr(self.df, -distance / self.se))

    def p_less(self, than: float = 0.0) -> float:
        """One-sided p of H0: the truth is at least ``than``."""
        return Contrast(-self.value, self.se, self.df, self.clusters).p_greater(-than)

    def p(self, null: float = 0.0) -> float:
        """Two-sided p of H0: the truth is ``null``."""
        return min(1.0, 2 * min(self.p_greater(null), self.p_less(null)))

    def p_within(self, margin: float) -> float:
        """p of H0: the truth is ``margin`` or more away from 0 (two one-sided tests): small means equivalent."""
        return max(self.p_greater(-margin), self.p_less(margin))


def mean(values: Sequence[float] | Array) -> Contrast:
    """The mean of independent values ``(n,)``, with SD/sqrt(n) on n - 1 degrees of freedom."""
    x = np.asarray(values, dtype=float)
    n = len(x)
    if n == 0:
        raise ValueError("a mean of no values")
    se = float(x.std(ddof=1) / math.sqrt(n)) if n > 1 else 0.0
    return Contrast(float(x.mean()), se, n - 1, n)


def t_interval(values: Sequence[float] | Array, level: float = LEVEL) -> Estimate:
    """mean +- t(n - 1) SD / sqrt(n)."""
    return mean(values).interval(level)


def cluster_mean(values: Sequence[float] | Array, clusters: Sequence[object]) -> Contrast:
    """The mean of ``(n,)`` items, the ``i``-th in ``clusters[i]``: items of one cluster may be as alike as they like.

    sum of sums / sum of counts over clusters, jackknifed; with equally large clusters this is the t interval of their
    means. ``n`` is the number of items.
    """
    x = np.asarray(values, dtype=float)
    if len(clusters) != len(x):
        raise ValueError(f"{len(x)} values have {len(clusters)} cluster names; each value has one")
    sums: dict[object, list[float]] = {}
    for name, value in zip(clusters, x, strict=True):
        of = sums.setdefault(name, [0.0, 0.0])
        of[0] += value
        of[1] += 1.0
    found = jackknife(ratio_of("ratio"), np.array(list(sums.values())).reshape(-1, 2))
    return replace(found, n=len(x))


def cluster_share(values: Sequence[float] | Array, clusters: Sequence[object], level: float = LEVEL) -> Estimate:
    """The share of items, 0 or 1 each, with an interval inside of [0, 1]; clusters as for `cluster_mean`.

    Where all items are alike the jackknife knows no spread: the bound is then Clopper and Pearson's for that many
    clusters, each taken for one item (``exact``). No bounds where clusters are alike and their items are not.
    """
    found = cluster_mean(values, clusters)
    estimate = found.interval(level)
    if found.se > 0 and estimate.low is not None and estimate.high is not None:
        return replace(estimate, low=max(0.0, estimate.low), high=min(1.0, estimate.high))
    if found.value not in (0.0, 1.0):
        return Estimate(found.value, clusters=found.clusters, n=found.n)
    farthest = ((1 - level) / 2) ** (1 / found.clusters)
    low, high = (0.0, 1 - farthest) if found.value == 0 else (farthest, 1.0)
    return Estimate(found.value, low, high, level, "exact", None, found.clusters, found.n)


def jackknife(statistic: Statistic, columns: Array) -> Contrast:
    """``statistic`` of the column sums, with the delete-one-cluster standard error on n - 1 degrees of freedom.

    The value is the plain statistic, not the bias-corrected one: what is printed is what a reader can recompute from
    the sums.
    """
    columns = np.asarray(columns, dtype=float)
    value, se = delete_one(statistic, columns)
    n = len(columns)
    return Contrast(float(value), float(se), n - 1, n, "jackknife")


def delete_one(statistic: Statistic, columns: Array) -> tuple[Array, Array]:
    """The value and the delete-one-cluster standard error of many at once: ``(..., n, c)`` columns -> ``(...)`` each.

    SE^2 = (n - 1)/n * sum (theta_(i) - mean theta_(.))^2, theta_(i) = the statistic without cluster i; 0 for n = 1.
    """
    n = columns.shape[-2]
    if n == 0:
        raise ValueError("a jackknife of no clusters")
    total = columns.sum(axis=-2)
    value = statistic(total)
    if n == 1:
        return value, np.zeros_like(value)
    left_out = statistic(total[..., None, :] - columns)
    deviation = left_out - left_out.mean(axis=-1, keepdims=True)
    return value, np.sqrt((n - 1) / n * (deviation**2).sum(axis=-1))


def influences(statistic: Statistic, columns: Array) -> Array:
    """One value per cluster ``(n,)`` whose mean is the statistic: its jackknife pseudo-values, centred on it.

    For a ratio of sums with equal denominators they are the clusters' own ratios.
    """
    columns = np.asarray(columns, dtype=float)
    n = len(columns)
    total = columns.sum(axis=0)
    value = float(statistic(total))
    if n == 1:
        return np.array([value])
    left_out = statistic(total - columns)
    return value - (n - 1) * (left_out - left_out.mean())


def ratio_of(transform: Transform) -> Statistic:
    """sum a / sum b, its logarithm, or (``exp``) itself: exp is applied to the finished interval."""
    if transform == "log":
        return lambda sums: np.log(sums[..., 0] / sums[..., 1])
    if transform in ("ratio", "exp"):
        return lambda sums: sums[..., 0] / sums[..., 1]
    raise ValueError(f"the transform is {transform!r}, and 'ratio', 'log' and 'exp' are known")


def ratio_jackknife(
    numerators: Sequence[float] | Array,
    denominators: Sequence[float] | Array,
    transform: Transform = "ratio",
    level: float = LEVEL,
) -> Estimate:
    """sum(numerators) / sum(denominators) over clusters, with a delete-one-cluster jackknife t interval.

    transform: ``ratio`` as it is; ``log`` its natural logarithm; ``exp`` the exponential of ratio and bounds, as
    perplexity is exp(nats / tokens): the interval is made where it is nearly symmetric.
    """
    columns = as_columns(numerators, denominators)
    contrast = jackknife(ratio_of(transform), columns)
    return exponential(contrast.interval(level)) if transform == "exp" else contrast.interval(level)


def sd(values: Sequence[float] | Array) -> float:
    """Standard deviation with n - 1; 0 for a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def skewness(values: Sequence[float] | Array) -> float:
    """Third standardized moment of ``(n,)`` values; 0 where they do not vary."""
    x = np.asarray(values, dtype=float)
    deviation = x - x.mean()
    spread = math.sqrt(float((deviation**2).mean()))
    return float((deviation**3).mean()) / spread**3 if spread > 0 else 0.0


def crossed(matrix: Sequence[Sequence[float]] | Array) -> Contrast:
    """The mean of ``(k draws, n passages)`` values for new draws *and* new passages: statements about a method.

    SE^2 = V_draw/k + V_pass/n - MS_res/(kn), V = variances of row and column means, never below the larger of its
    first two terms; df by Satterthwaite. With one draw its spread is unknown: df 0, no interval.

    V_draw is the variance of row means and so already holds the variance of a mean of n; hence V_draw/k.
    """
    x = np.asarray(matrix, dtype=float)
    k, n = x.shape
    value = float(x.mean())
    if k < 2 or n < 2:
        return Contrast(value, 0.0, 0, n, "crossed")
    rows, columns = x.mean(axis=1), x.mean(axis=0)
    draw, passage = float(rows.var(ddof=1)) / k, float(columns.var(ddof=1)) / n
    residual = x - rows[:, None] - columns[None, :] + value
    residual_ms = float((residual**2).sum()) / ((k - 1) * (n - 1))
    square = max(draw + passage - residual_ms / (k * n), draw, passage)
    if square == 0:
        return Contrast(value, 0.0, n - 1, n, "crossed")
    df = square**2 / (draw**2 / (k - 1) + passage**2 / (n - 1))
    return Contrast(value, math.sqrt(square), df, n, "crossed")


def as_columns(numerators: Sequence[float] | Array, denominators: Sequence[float] | Array) -> Array:
    a, b = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"numerators have shape {a.shape} and denominators {b.shape}; both are one per cluster")
    return np.stack([a, b], axis=1)


def exponential(estimate: Estimate) -> Estimate:
    """exp of a value and its bounds."""
    low, high = (None if bound is None else math.exp(bound) for bound in (estimate.low, estimate.high))
    return Estimate(
        math.exp(estimate.value),
        low,
        high,
        estimate.level,
        estimate.method,
        estimate.df,
        estimate.clusters,
        estimate.n,
    )
