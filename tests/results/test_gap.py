"""The language gap by hand, by identity, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from results import gap as gaps
from results.estimate import Estimate, Sample
from results.gap import LN2, Pair, Unmatched
from results.statistics import Contrast, mean


def samples(nats: list[float], tokens: float = 10.0, sentences: float = 5.0, prefix: str = "g") -> dict[str, Sample]:
    return {
        f"{prefix}{i}": Sample(f"id{i}", f"{prefix}{i}", {"nats": x, "tokens": tokens, "sentences": sentences})
        for i, x in enumerate(nats)
    }


def a_pair(q: list[float], o: list[float], tokens: float = 10.0, sentences: float = 5.0, language: str = "ko") -> Pair:
    variant, none = samples(q, tokens, sentences), samples(o, tokens, sentences)
    return gaps.pair(language, variant, none, sorted(none))


KO = a_pair([35.0, 44.0, 52.0], [30.0, 40.0, 45.0], tokens=20.0)
EN = a_pair([21.0, 32.0, 33.0], [20.0, 30.0, 31.0], tokens=12.0, language="en")


def test_changes_by_hand() -> None:
    assert KO.change == pytest.approx(16 / 15 / LN2)
    assert gaps.extra_bits([KO]).value == pytest.approx(16 / 15 / LN2)
    assert gaps.log_ratio([KO]).value == pytest.approx(16 / 60)


def test_the_headline_is_the_mean_per_passage_gap_with_its_t_interval() -> None:
    found = gaps.gap([KO], [EN])
    d = np.array([5 - 1, 4 - 2, 7 - 2]) / (5 * LN2)
    plain = mean(d)
    assert (found.headline.value, found.headline.se, found.headline.df) == pytest.approx((plain.value, plain.se, 2))
    assert found.headline.p() == pytest.approx(stats.ttest_1samp(d, 0).pvalue)
    assert gaps.per_passage([KO], [EN]) == pytest.approx(d)


def test_the_secondaries_by_hand() -> None:
    found = gaps.gap([KO], [EN])
    assert found.per_token.value == pytest.approx(16 / 60 - 5 / 36)
    assert found.relative.value == pytest.approx(math.log(131 / 115) - math.log(86 / 81))
    left_out = [
        math.log((131 - q) / (115 - o)) - math.log((86 - qe) / (81 - oe))
        for q, o, qe, oe in zip((35, 44, 52), (30, 40, 45), (21, 32, 33), (20, 30, 31), strict=True)
    ]
    assert found.relative.se == pytest.approx(math.sqrt(2 / 3 * sum((x - np.mean(left_out)) ** 2 for x in left_out)))
    assert found.p == max(scale.p() for scale in found)
    assert found.same_sign


def test_swapping_languages_negates_the_gap() -> None:
    there, back = gaps.gap([KO], [EN]), gaps.gap([EN], [KO])
    for a, b in zip(there, back, strict=True):
        assert (a.value, a.se) == pytest.approx((-b.value, b.se))


def test_the_decomposition_is_exact() -> None:
    found = gaps.decompose([KO], [EN])
    assert found is not None
    assert found.ratio == pytest.approx(KO.change / EN.change)
    assert found.tokens * found.per_token == pytest.approx(found.ratio)
    assert found.base * found.relative == pytest.approx(found.ratio)
    assert (found.tokens, found.base) == pytest.approx((60 / 36, 115 / 81))
    gained = a_pair([19.0, 29.0, 30.0], [20.0, 30.0, 31.0], language="en")
    assert gaps.decompose([KO], [gained]) is None
    assert gaps.decompose([gained], [KO]) is None


def test_largest_not_ruled_out() -> None:
    assert gaps.largest_not_ruled_out(Contrast(-3.0, 1.0, 15, 16).interval(0.9)) == pytest.approx(
        3 + stats.t.ppf(0.95, 15)
    )
    assert gaps.largest_not_ruled_out(Estimate(1.0)) is None


def test_unmatched_passages_are_listed_never_dropped() -> None:
    a, b = samples([1.0, 2.0, 3.0]), samples([1.0, 2.0, 3.0, 4.0])
    del b["g0"]
    b["g1"] = Sample("x", "g1", {"nats": 1.0, "tokens": 1.0, "sentences": 4.0})
    groups, unmatched = gaps.match({"rtn en": a, "rtn ko": b})
    assert groups == ("g2",)
    assert unmatched == (
        Unmatched("g0", ("rtn ko",)),
        Unmatched("g1", ("equal sentence counts",)),
        Unmatched("g3", ("rtn en",)),
    )
    assert gaps.match({}) == ((), ())


def test_only_the_same_tokens_of_the_same_text_are_compared() -> None:
    none = samples([1.0, 2.0])
    with pytest.raises(
        ValueError, match=r"ko, passage g0: the variant read text id0 in 11 tokens and `none` id0 in 10;"
    ):
        gaps.pair("ko", samples([1.0, 2.0], tokens=11.0), none, ["g0", "g1"])
    other = {"g0": Sample("another", "g0", none["g0"].quantities)}
    with pytest.raises(ValueError, match="the variant read text another in 10 tokens and `none` id0"):
        gaps.pair("ko", other, none, ["g0"])
    with pytest.raises(ValueError, match="ko and en must hold the same passages"):
        gaps.gap([KO], [a_pair([1.0, 2.0], [1.0, 1.5], language="en")])


def test_a_crossing_needs_both_one_sided_tests() -> None:
    gain, loss, zero = Contrast(-2.0, 0.5, 15, 16), Contrast(1.0, 0.4, 15, 16), Contrast(0.0, 0.4, 15, 16)
    assert gaps.crossing(gain, loss) == pytest.approx(stats.t.sf(2.5, 15))
    assert gaps.crossing(gain, zero) == pytest.approx(0.5)
    assert gaps.crossing(loss, gain) > 0.99


def test_difference_of_variants_is_paired_and_negative_where_the_first_is_better() -> None:
    other = a_pair([36.0, 46.0, 53.0], [30.0, 40.0, 45.0], tokens=20.0)
    d = np.array([-1.0, -2.0, -1.0]) / (5 * LN2)
    found = gaps.difference([KO], [other])
    assert (found.value, found.se) == pytest.approx((mean(d).value, mean(d).se))


def test_draws_stand_beside_a_method_without_draws() -> None:
    second = a_pair([36.0, 45.0, 50.0], [30.0, 40.0, 45.0], tokens=20.0)
    found = gaps.difference([KO, second], [KO])
    assert found.method == "crossed"
    assert found.value == pytest.approx((0 + (1 + 1 - 2) / 15 / LN2) / 2)
    with pytest.raises(ValueError, match="3 draws cannot be paired with 2"):
        gaps.difference([KO, KO, KO], [KO, KO])


def test_identical_models_have_a_gap_of_exactly_zero() -> None:
    same_ko, same_en = a_pair([30.0, 40.0], [30.0, 40.0]), a_pair([20.0, 31.0], [20.0, 31.0], language="en")
    for scale in gaps.gap([same_ko], [same_en]):
        assert (scale.value, scale.se, scale.p()) == (0.0, 0.0, 1.0)


# ---- simulation 32: fertility ----


@pytest.mark.parametrize("k", [2, 3])
def test_splitting_tokens_moves_only_the_per_token_scale(k: int) -> None:
    rng = np.random.default_rng(32)
    o = rng.uniform(200, 300, size=24)
    q = o + rng.normal(10, 3, size=24)
    en = a_pair(list(o * 0.7 + rng.normal(4, 2, size=24)), list(o * 0.7), tokens=90.0, language="en")
    whole = a_pair(list(q), list(o), tokens=100.0)
    split = a_pair(list(q), list(o), tokens=100.0 * k)
    before, after = gaps.gap([whole], [en]), gaps.gap([split], [en])
    assert after.headline == before.headline
    assert after.relative == before.relative
    assert gaps.log_ratio([split]).value == pytest.approx(gaps.log_ratio([whole]).value / k, rel=1e-12)
    parts = gaps.decompose([split], [en])
    assert parts is not None
    assert parts.tokens == pytest.approx(100 * k / 90)


# ---- simulation 33: clusters ----


def _shared_effects(rho: float, runs: int = 2000, n: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Per-passage changes of two languages, each of variance 1 with correlation rho; the true gap is 0."""
    rng = np.random.default_rng(33)
    shared = rng.normal(size=(runs, n)) * math.sqrt(rho)
    return tuple(shared + rng.normal(size=(runs, n)) * math.sqrt(1 - rho) for _ in range(2))  # type: ignore[return-value]


@pytest.mark.parametrize(("rho", "too_wide"), [(0.3, 1.18), (0.6, 1.5)])
def test_passages_are_resampled_jointly(rho: float, too_wide: float) -> None:
    # 1/sqrt(1 - rho) = 1.195 and 1.58 in the limit; the published factors are those of one simulation
    ko, en = _shared_effects(rho)
    o = np.full_like(ko[0], 100.0)
    sentences = np.full_like(o, 1 / LN2)  # so that the unit is one nat

    def columns(change: np.ndarray) -> np.ndarray:
        return np.stack([o + change, o, o, sentences], axis=1)

    groups = tuple(f"g{i:02d}" for i in range(24))
    found = [
        gaps.gap([Pair("ko", groups, columns(a))], [Pair("en", groups, columns(b))]).headline
        for a, b in zip(ko[:600], en[:600], strict=True)
    ]
    truth = math.sqrt(2 * (1 - rho) / 24)
    assert math.sqrt(np.mean([c.se**2 for c in found])) == pytest.approx(truth, rel=0.05)
    assert 0.93 <= np.mean([c.p() > 0.05 for c in found]) <= 0.97
    independent = np.sqrt((ko.var(axis=1, ddof=1) + en.var(axis=1, ddof=1)) / 24)
    assert np.sqrt(np.mean(independent**2)) / truth == pytest.approx(too_wide, rel=0.06)


def test_sentences_are_not_independent() -> None:
    """Five sentences of a passage share its effect: treating them as 120 units covers far less than 95%."""
    rng = np.random.default_rng(33)
    passage = rng.normal(size=(2000, 24, 1))
    values = passage + rng.normal(size=(2000, 24, 5))
    by_sentence = stats.ttest_1samp(values.reshape(2000, -1), 0, axis=1).pvalue
    by_passage = stats.ttest_1samp(values.mean(axis=2), 0, axis=1).pvalue
    assert np.mean(by_sentence > 0.05) < 0.8
    assert 0.935 <= np.mean(by_passage > 0.05) <= 0.965
