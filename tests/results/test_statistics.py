"""Closed forms against scipy, brute force and simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from results.estimate import Estimate
from results.statistics import (
    Contrast,
    block_bootstrap,
    block_contrast,
    bootstrap_t,
    crossed,
    exponential,
    holm,
    influences,
    jackknife,
    mean,
    ratio_jackknife,
    ratio_of,
    sd,
    skewness,
    smallest_detectable,
    t_interval,
)

X = np.array([1.2, -0.4, 3.1, 2.2, 0.9, 1.7, -1.1, 2.8])


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_t_interval_is_scipys(level: float) -> None:
    found = t_interval(X, level)
    low, high = stats.t.interval(level, len(X) - 1, X.mean(), stats.sem(X))
    assert (found.value, found.low, found.high) == pytest.approx((X.mean(), low, high))
    assert (found.level, found.method, found.df, found.clusters) == (level, "t", 7, 8)


def test_p_values_are_scipys() -> None:
    contrast = mean(X)
    assert contrast.p() == pytest.approx(stats.ttest_1samp(X, 0).pvalue)
    assert contrast.p(1.5) == pytest.approx(stats.ttest_1samp(X, 1.5).pvalue)
    assert contrast.p_greater(0.5) == pytest.approx(stats.ttest_1samp(X, 0.5, alternative="greater").pvalue)
    assert contrast.p_less(0.5) == pytest.approx(stats.ttest_1samp(X, 0.5, alternative="less").pvalue)


def test_interval_and_p_agree() -> None:
    contrast = mean(X)
    interval = contrast.interval(0.95)
    assert interval.low is not None
    assert contrast.p(interval.low) == pytest.approx(0.05)


def test_one_value_has_no_interval_and_establishes_nothing() -> None:
    contrast = mean([3.0])
    assert contrast.interval() == Estimate(3.0, clusters=1)
    assert (contrast.p(), contrast.p_greater(), contrast.p_less()) == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="no values"):
        mean([])


def test_exact_values_do_not_divide_by_zero() -> None:
    same = mean([0.0, 0.0, 0.0])
    assert (same.p(), same.p_greater(), same.p_less()) == (1.0, 1.0, 1.0)
    assert same.interval().low == 0.0
    above = mean([2.0, 2.0, 2.0])
    assert (above.p(), above.p_greater(), above.p_less(), above.p_greater(2.0)) == (0.0, 0.0, 1.0, 1.0)


def test_jackknife_is_leaving_one_out() -> None:
    a, b = np.array([3.0, 1.0, 4.0, 1.5]), np.array([2.0, 1.0, 3.0, 5.0])
    for transform, of in (("ratio", lambda r: r), ("log", math.log)):
        theta = [of(np.delete(a, i).sum() / np.delete(b, i).sum()) for i in range(4)]
        se = math.sqrt(3 / 4 * sum((x - np.mean(theta)) ** 2 for x in theta))
        half = stats.t.ppf(0.975, 3) * se
        value = of(a.sum() / b.sum())
        found = ratio_jackknife(a, b, transform)  # type: ignore[arg-type]
        assert (found.value, found.low, found.high) == pytest.approx((value, value - half, value + half))
        assert (found.method, found.df, found.clusters) == ("jackknife", 3, 4)


def test_perplexity_is_the_exponential_of_the_interval_of_its_logarithm() -> None:
    nats, tokens = X + 20, np.full(8, 7.0)
    plain, exp = ratio_jackknife(nats, tokens), ratio_jackknife(nats, tokens, "exp")
    assert plain.low is not None
    assert plain.high is not None
    assert (exp.value, exp.low, exp.high) == pytest.approx([math.exp(x) for x in (plain.value, plain.low, plain.high)])
    assert exponential(Estimate(0.0)) == Estimate(1.0)


def test_with_equal_denominators_the_jackknife_is_the_t_interval() -> None:
    found, plain = ratio_jackknife(X, np.full(8, 2.0)), t_interval(X / 2)
    assert (found.value, found.low, found.high) == pytest.approx((plain.value, plain.low, plain.high))


def test_influences_average_to_the_statistic() -> None:
    columns = np.stack([X, np.full(8, 2.0)], axis=1)
    assert influences(ratio_of("ratio"), columns) == pytest.approx(X / 2)
    uneven = np.stack([X + 5, np.arange(1.0, 9.0)], axis=1)
    values = influences(ratio_of("log"), uneven)
    assert values.mean() == pytest.approx(jackknife(ratio_of("log"), uneven).value)
    assert mean(values).se == pytest.approx(jackknife(ratio_of("log"), uneven).se)
    assert influences(ratio_of("ratio"), columns[:1]) == pytest.approx([X[0] / 2])


def test_wrong_shapes_and_names() -> None:
    with pytest.raises(ValueError, match=r"numerators have shape \(2,\) and denominators \(3,\)"):
        ratio_jackknife([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="'cube', and 'ratio', 'log' and 'exp'"):
        ratio_jackknife([1.0, 2.0], [1.0, 2.0], "cube")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no clusters"):
        ratio_jackknife([], [])
    assert ratio_jackknife([3.0], [2.0]) == Estimate(1.5, clusters=1)


def test_block_bootstrap_with_blocks_of_one_is_the_plain_standard_error() -> None:
    x = np.random.default_rng(1).normal(size=60)
    contrast = block_contrast(x, np.ones(60), block=1, resamples=20_000)
    assert contrast.se == pytest.approx(x.std() / math.sqrt(60), rel=0.02)
    assert contrast.df == 59


def test_block_bootstrap_covers_where_neighbours_are_alike() -> None:
    """A moving average of five has sum-variance 5 times that of independent values of the same variance."""
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(150, 204))
    series = np.lib.stride_tricks.sliding_window_view(noise, 5, axis=1).mean(axis=2)  # (150, 200), mean 0
    ones = np.ones(200)
    wide = [block_contrast(x, ones, block=20, resamples=400) for x in series]
    narrow = [block_contrast(x, ones, block=1, resamples=400) for x in series]
    assert np.mean([c.p() > 0.05 for c in wide]) > 0.86
    assert np.mean([c.p() > 0.05 for c in narrow]) < 0.75


def test_block_bootstrap_is_seeded_and_refuses_few_windows() -> None:
    x, ones = np.arange(30.0), np.ones(30)
    assert block_bootstrap(x, ones, seed=3) == block_bootstrap(x, ones, seed=3)
    assert block_bootstrap(x, ones, seed=3) != block_bootstrap(x, ones, seed=4)
    assert block_bootstrap(x, ones).method == "block bootstrap"
    assert block_bootstrap(x[:9], ones[:9]) == Estimate(4.0, clusters=9)
    few = block_bootstrap(x[:9] / 4, ones[:9], "exp")
    assert (few.value, few.low) == (pytest.approx(math.e), None)
    many = block_bootstrap(x / 10, ones, "exp")
    assert many.low is not None
    assert many.high is not None
    assert many.low < many.value < many.high


def test_bootstrap_t_is_wider_on_the_long_side() -> None:
    x = np.random.default_rng(5).lognormal(size=24)
    found, p = bootstrap_t(x)
    plain = t_interval(x)
    assert found.method == "bootstrap-t"
    assert found.high is not None
    assert plain.high is not None
    assert found.high > plain.high
    assert p < 0.01
    assert bootstrap_t(x) == (found, p)


def test_bootstrap_t_of_normal_values_is_near_t_and_covers() -> None:
    rng = np.random.default_rng(6)
    p = [bootstrap_t(rng.normal(size=20), resamples=499)[1] for _ in range(300)]
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.085
    assert bootstrap_t([1.0, 1.0, 1.0])[1] == 0.0
    assert bootstrap_t([1.0, 2.0])[0].method == "t"


def test_skewness_and_sd() -> None:
    assert skewness(X) == pytest.approx(stats.skew(X))
    assert skewness([2.0, 2.0]) == 0.0
    assert sd(X) == pytest.approx(np.std(X, ddof=1))
    assert sd([1.0]) == 0.0


def _holm_by_hand(p: tuple[float, ...], alpha: float) -> set[int]:
    rejected: set[int] = set()
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        if p[i] > alpha / (len(p) - rank):
            break
        rejected.add(i)
    return rejected


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    for p in itertools.product([0.001, 0.012, 0.02, 0.04, 0.2], repeat=4):
        for alpha in (0.05, 0.025):
            adjusted = holm(p)
            assert {i for i in range(4) if adjusted[i] <= alpha} == _holm_by_hand(p, alpha)


def test_smallest_detectable_effect_as_published() -> None:
    assert smallest_detectable(1.0, 24) == pytest.approx(0.60, abs=0.005)
    assert smallest_detectable(1.0, 40) == pytest.approx(0.45, abs=0.005)
    assert smallest_detectable(1.0, 24, family=7) == pytest.approx(0.78, abs=0.005)
    assert smallest_detectable(8.0, 24) == pytest.approx(8 * smallest_detectable(1.0, 24))
    with pytest.raises(ValueError, match="1 clusters detect no effect"):
        smallest_detectable(1.0, 1)


def test_smallest_detectable_effect_is_detected_four_times_in_five() -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(loc=smallest_detectable(1.0, 24), size=(4000, 24))
    p = stats.ttest_1samp(x, 0, axis=1).pvalue
    assert np.mean(p <= 0.05) == pytest.approx(0.8, abs=0.03)


# ---- calibration draws (simulation 34) ----


def test_crossed_by_hand() -> None:
    x = np.array([[1.0, 2.0, 4.0], [2.0, 2.0, 6.0]])
    draw = np.var([7 / 3, 10 / 3], ddof=1) / 2
    passage = np.var([1.5, 2.0, 5.0], ddof=1) / 3
    residual = x - x.mean(axis=1, keepdims=True) - x.mean(axis=0) + x.mean()
    square = max(draw + passage - (residual**2).sum() / 2 / 6, draw, passage)
    found = crossed(x)
    assert (found.value, found.se) == pytest.approx((x.mean(), math.sqrt(square)))
    assert found.df == pytest.approx(square**2 / (draw**2 / 1 + passage**2 / 2))
    assert crossed([[1.0, 1.0], [1.0, 1.0]]).se == 0.0
    assert crossed([[1.0, 2.0]]).interval().low is None, "one draw says nothing of draws"


def _simulated(k: int, runs: int = 4000, n: int = 24) -> tuple[np.ndarray, float]:
    rng = np.random.default_rng(34)
    draw = rng.normal(scale=0.5, size=(runs, k, 1))
    passage = rng.normal(scale=1.0, size=(runs, 1, n))
    return draw + passage + rng.normal(size=(runs, k, n)), 0.25 / k + 1 / n + 1 / (k * n)


@pytest.mark.parametrize("k", [3, 5])
def test_crossed_error_is_unbiased_and_covers(k: int) -> None:
    matrices, truth = _simulated(k)
    found = [crossed(matrix) for matrix in matrices]
    assert np.mean([c.se**2 for c in found]) == pytest.approx(truth, rel=0.06)
    assert 0.93 <= np.mean([c.p() > 0.05 for c in found]) <= 0.965


def test_one_draw_covers_its_artifact_and_not_its_method() -> None:
    matrices, _ = _simulated(1)
    rng = np.random.default_rng(34)
    artifact = rng.normal(scale=0.5, size=(4000, 1, 1))[:, 0, 0]  # the same draws as in _simulated
    contrasts = [mean(matrix[0]) for matrix in matrices]
    assert np.mean([c.p() > 0.05 for c in contrasts]) == pytest.approx(0.69, abs=0.03)
    assert np.mean([c.p(a) > 0.05 for c, a in zip(contrasts, artifact, strict=True)]) == pytest.approx(0.95, abs=0.015)


def test_contrast_keeps_its_method_and_count() -> None:
    found = Contrast(1.0, 0.5, 9, 10, "crossed", 1000).interval()
    assert (found.method, found.n, found.df) == ("crossed", 1000, 9)
