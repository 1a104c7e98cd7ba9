"""Resampling: block bootstrap for windows of one text, bootstrap-t for skewed means, sign flips and permutations.

Closed forms are in `results.statistics`; these are for where they do not hold, and for tests that assume nothing but
exchangeability. Everything random is seeded: two runs give the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from results.estimate import Estimate
from results.statistics import (
    LEVEL,
    Array,
    Contrast,
    Transform,
    as_columns,
    exponential,
    mean,
    ratio_of,
)

EXACT = 14
"""Up to so many clusters all 2^n sign flips are counted; beyond, they are drawn at random."""
_DRAWN_AT_ONCE = 2_000_000
_KEPT = 500_000
"""Signs of one size that are kept: 4 MB."""
_SLACK = 1e-12
"""Relative: flips that reach the observed sum but for rounding count as reaching it."""


def block_bootstrap(
    numerators: Sequence[float] | Array,
    denominators: Sequence[float] | Array,
    transform: Transform = "ratio",
    level: float = LEVEL,
    block: int | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """A ratio of sums over consecutive windows of one text: ``block_contrast``'s interval, transformed as asked."""
    estimate = block_contrast(numerators, denominators, transform, block, resamples, seed).interval(level)
    return exponential(estimate) if transform == "exp" else estimate


def block_contrast(
    numerators: Sequence[float] | Array,
    denominators: Sequence[float] | Array,
    transform: Transform = "ratio",
    block: int | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Contrast:
    """A ratio of sums over consecutive windows, its error by the circular block bootstrap.

    Neighbouring windows share a topic, so whole runs of ``block`` windows (default: n^(1/3), rounded up) are drawn,
    the last window being followed by the first. Degrees of freedom: one less than there are blocks; none under 10
    windows, which give no interval.
    """
    columns = as_columns(numerators, denominators)
    n = len(columns)
    statistic = ratio_of(transform)
    value = float(statistic(columns.sum(axis=0)))
    block = block or math.ceil(n ** (1 / 3))
    blocks = math.ceil(n / block)
    if n < 10 or blocks < 2:
        return Contrast(value, 0.0, 0, n, "block bootstrap")
    starts = np.random.default_rng(seed).integers(0, n, size=(resamples, blocks))
    windows = (starts[..., None] + np.arange(block)) % n  # (resamples, blocks, block)
    drawn = columns[windows.reshape(resamples, -1)[:, :n]].sum(axis=1)  # the last block is cut so that n are drawn
    return Contrast(value, float(statistic(drawn).std(ddof=1)), blocks - 1, n, "block bootstrap")


def bootstrap_t(
    values: Sequence[float] | Array, level: float = LEVEL, resamples: int = 9999, seed: int = 0
) -> tuple[Estimate, float]:
    """The mean of skewed independent values ``(n,)``: its bootstrap-t interval and two-sided p of a zero mean.

    t* = (mean* - mean) / SE* over resamples replaces Student's t. Resamples of one repeated value, whose SE* is 0,
    are drawn again as an infinite t* of their sign: they widen the interval rather than vanish.
    """
    x = np.asarray(values, dtype=float)
    plain = mean(x)
    n = len(x)
    if n < 3 or plain.se == 0:
        return plain.interval(level), plain.p()
    drawn = x[np.random.default_rng(seed).integers(0, n, size=(resamples, n))]
    difference = drawn.mean(axis=1) - plain.value
    with np.errstate(divide="ignore", invalid="ignore"):
        t = difference / (drawn.std(axis=1, ddof=1) / math.sqrt(n))
    t = np.sort(np.nan_to_num(t, nan=0.0, posinf=1e6, neginf=-1e6))
    lower, upper = np.quantile(t, [0.5 - level / 2, 0.5 + level / 2])
    low, high = plain.value - upper * plain.se, plain.value - lower * plain.se
    observed = plain.value / plain.se
    tail = min(np.count_nonzero(t >= observed), np.count_nonzero(t <= observed))
    p = min(1.0, 2 * (tail + 1) / (resamples + 1))
    return Estimate(plain.value, float(low), float(high), level, "bootstrap-t", n - 1, n), p


def flipped_means(values: Sequence[float] | Array, resamples: int = 9999, seed: int = 0) -> Array:
    """Means of ``(n,)`` values under random signs: all 2^n of them up to `EXACT` values, else ``(resamples,)`` drawn.

    Under H0 "the labels of each cluster may be swapped" every one of them was as likely as what was observed.
    """
    x = np.asarray(values, dtype=float)
    n = len(x)
    if n <= EXACT:
        return _all_signs(n) @ x / n
    if n * resamples <= _KEPT:
        return _drawn_signs(n, resamples, seed) @ x / n
    rng = np.random.default_rng(seed)
    rows = max(1, _DRAWN_AT_ONCE // n)
    starts = range(0, resamples, rows)
    drawn = (rng.integers(0, 2, size=(min(rows, resamples - start), n), dtype=np.int8) for start in starts)
    return np.concatenate([_signs(bits) @ x / n for bits in drawn])


@lru_cache(maxsize=EXACT + 1)
def _all_signs(n: int) -> Array:
    return _signs((np.arange(2**n)[:, None] >> np.arange(n)) & 1)


@lru_cache(maxsize=16)
def _drawn_signs(n: int, resamples: int, seed: int) -> Array:
    """Kept, for every language and variant of a run asks for the signs of about as many passages."""
    return _signs(np.random.default_rng(seed).integers(0, 2, size=(resamples, n), dtype=np.int8))


def _signs(bits: Array) -> Array:
    return 1.0 - 2.0 * bits


def sign_flip(
    values: Sequence[float] | Array,
    clusters: Sequence[object] | None = None,
    resamples: int = 9999,
    seed: int = 0,
) -> float:
    """Two-sided p of H0: swapping the two labels of a cluster changes nothing. Differences ``(n,)`` -> p.

    Items of one cluster (a passage with several questions) flip together: their differences are summed first. Exact
    up to `EXACT` clusters that differ at all; beyond, p = (1 + hits)/(1 + resamples), never 0 (Phipson and Smyth 2010).
    """
    x = _sums(values, clusters)
    x = x[x != 0]  # a cluster without a difference says the same under either sign
    if len(x) == 0:
        return 1.0
    observed = abs(x.mean()) * (1 - _SLACK)
    found = np.abs(flipped_means(x, resamples, seed))
    hits = int(np.count_nonzero(found >= observed))
    return hits / len(found) if len(x) <= EXACT else (1 + hits) / (1 + len(found))


def permutation(a: Sequence[float] | Array, b: Sequence[float] | Array, resamples: int = 9999, seed: int = 0) -> float:
    """Two-sided p of H0: two independent groups ``(m,)`` and ``(n,)`` are of one kind, by the difference of means.

    For groups that are not paired, such as passages of two source languages. Exact where there are no more than
    ``resamples`` ways to divide them; else drawn at random, p = (1 + hits)/(1 + resamples).
    """
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if not len(x) or not len(y):
        raise ValueError(f"groups of {len(x)} and {len(y)} values cannot be compared; each needs at least 1")

    from scipy import stats  # slow to import, and a gate has no use for it

    found = stats.permutation_test(
        (x, y),
        lambda u, v, axis: u.mean(axis=axis) - v.mean(axis=axis),
        vectorized=True,
        n_resamples=resamples,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def _sums(values: Sequence[float] | Array, clusters: Sequence[object] | None) -> Array:
    """Sums over clusters, in the order in which the clusters first appear."""
    x = np.asarray(values, dtype=float)
    if clusters is None:
        return x
    if len(clusters) != len(x):
        raise ValueError(f"{len(x)} values have {len(clusters)} cluster names; each value has one")
    places = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    return np.bincount([places[name] for name in clusters], weights=x, minlength=len(places))
