"""Closed forms against scipy, brute force and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from results.estimate import Estimate
from results.multiplicity import holm
from results.statistics import (
    Contrast,
    cluster_mean,
    cluster_share,
    crossed,
    exponential,
    influences,
    jackknife,
    mean,
    ratio_jackknife,
    ratio_of,
    sd,
    skewness,
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


def test_skewness_and_sd() -> None:
    assert skewness(X) == pytest.approx(stats.skew(X))
    assert skewness([2.0, 2.0]) == 0.0
    assert sd(X) == pytest.approx(np.std(X, ddof=1))
    assert sd([1.0]) == 0.0


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


# ---- clusters of items ----


def test_items_in_equal_clusters_are_the_t_interval_of_their_means() -> None:
    found = cluster_mean(X, ["a", "a", "b", "b", "c", "c", "d", "d"])
    plain = mean(X.reshape(4, 2).mean(axis=1))
    assert (found.value, found.se, found.df) == pytest.approx((plain.value, plain.se, 3))
    assert (found.clusters, found.n) == (4, 8)
    alone = cluster_mean(X, list("abcdefgh"))
    assert (alone.value, alone.se) == pytest.approx((mean(X).value, mean(X).se))
    with pytest.raises(ValueError, match="8 values have 1 cluster names"):
        cluster_mean(X, ["a"])


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6])
def test_cluster_intervals_cover_with_correlated_items(rho: float) -> None:
    rng = np.random.default_rng(35)
    names = [i for i in range(24) for _ in range(1 + i % 5)]
    held = []
    for _ in range(1000):
        items = math.sqrt(rho) * rng.normal(size=24)[names] + math.sqrt(1 - rho) * rng.normal(size=len(names))
        held.append(cluster_mean(items, names).p() > 0.05)
    assert 0.93 <= np.mean(held) <= 0.97


def test_equivalence_is_two_one_sided_tests() -> None:
    contrast = mean(X)
    assert contrast.p_within(3.0) == pytest.approx(contrast.p_less(3.0))
    assert contrast.p_within(1.0) > 0.5
    at_90 = contrast.interval(0.9)
    assert at_90.low is not None
    assert at_90.high is not None
    assert contrast.p_within(max(abs(at_90.low), abs(at_90.high))) == pytest.approx(0.05)


# ---- the gate's rules (simulation 35) ----


@pytest.mark.parametrize("rules", [1, 8, 24])
def test_rules_at_their_margin_seldom_fail_or_pass_and_never_both(rules: int) -> None:
    """FAIL: Holm-adjusted one-sided p of "damage <= margin" at .025; PASS: every p of "damage >= margin" at .025."""
    rng = np.random.default_rng(36)
    runs, margin = 400, 1.0
    for at_margin in (rules, 1):
        damage = np.where(np.arange(rules) < at_margin, margin, -2.0)
        shared, own = rng.normal(size=(runs, 24, 1)), rng.normal(size=(runs, 24, rules))
        x = damage + math.sqrt(0.3) * shared + math.sqrt(0.7) * own
        greater, less = (stats.ttest_1samp(x, margin, axis=1, alternative=side).pvalue for side in ("greater", "less"))
        fails = np.array([min(holm(list(p))) <= 0.025 for p in greater])
        passes = (less <= 0.025).all(axis=1)
        assert not (fails & passes).any()
        if at_margin == rules:
            assert fails.mean() <= 0.045
        if at_margin == 1:
            assert passes.mean() <= 0.045


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_answers_all_alike_have_the_exact_interval(right: float) -> None:
    found = cluster_share([right] * 24, range(24))
    exact = stats.binomtest(int(24 * right), 24).proportion_ci(0.95, "exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    assert (found.value, found.method, found.level, found.clusters, found.n) == (right, "exact", 0.95, 24, 24)


def test_a_share_s_t_interval_stays_within_0_and_1() -> None:
    scores = [1.0] * 23 + [0.0]
    found, whole = cluster_share(scores, range(24)), cluster_mean(scores, range(24)).interval()
    assert whole.high is not None
    assert whole.high > 1
    assert (found.low, found.high, found.method) == (whole.low, 1.0, "jackknife")


@pytest.mark.parametrize("per_passage", [1, 4])
@pytest.mark.parametrize("truth", [0.99, 0.97])
def test_shares_near_1_are_covered_where_the_t_interval_is_not(truth: float, per_passage: int) -> None:
    """24 passages whose items are as alike as they can be."""
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(24), per_passage)
    ours = theirs = 0
    for _ in range(400):
        scores = np.repeat((rng.random(24) < truth).astype(float), per_passage)
        found, plain = cluster_share(scores, clusters), cluster_mean(scores, clusters).interval()
        ours += found.low <= truth <= found.high  # type: ignore[operator]
        theirs += plain.low <= truth <= plain.high  # type: ignore[operator]
    assert ours / 400 >= 0.95
    assert theirs / 400 < 0.7


def test_alike_clusters_of_unlike_items_say_nothing_of_the_spread() -> None:
    assert cluster_share([1, 0, 1, 0], ["a", "a", "b", "b"]) == Estimate(0.5, clusters=2, n=4)
