"""Sparse and low-rank methods find the dense ones of their size, and differences keep their sign."""

from __future__ import annotations

from results.cell import Scalar, Variant
from results.contests import Comparison
from results.equal_bytes import equal_bytes, leaves_out, nearest
from results.estimate import Estimate
from results.evidence import Method


def method(label: str, **params: Scalar) -> Method:
    return Method(label, (Variant("tiny/model", "w" * 32, label, params),))


WANDA = method("wanda", sparsity=0.5, bits=4)
SVD = method("svd", keep=0.8, keep_of="selected")
RTN3, RTN4 = method("rtn3", bits=3), method("rtn4", bits=4)


def comparison(a: Method, b: Method, language: str, value: float, verdict: str, measure: str = "bits") -> Comparison:
    difference = Estimate(value, value - 1, value + 2, 0.95, "t")
    return Comparison(
        a.label,
        b.label,
        a.draws[0],
        b.draws[0],
        language,
        "",
        measure,
        difference,
        0.01,
        0.02,
        verdict,  # type: ignore[arg-type]
    )


def test_what_leaves_weights_or_ranks_out() -> None:
    assert leaves_out(WANDA)
    assert leaves_out(SVD)
    assert not leaves_out(RTN3)
    assert not leaves_out(method("lape_awq", bits=4, keep="gate+up+down"))


def test_nearest_by_bytes() -> None:
    assert nearest(1000, {"a": 970, "b": 1030, "c": 1031}) == [("a", "equal"), ("b", "equal")]
    assert nearest(1000, {"a": 969, "b": 1031, "c": 1100, "d": 900}) == [("a", "below"), ("b", "above")]
    assert nearest(1000, {"c": 1100}) == [("c", "above")]
    assert nearest(1000, {}) == []


def test_the_sparse_one_comes_first_whichever_way_the_two_were_compared() -> None:
    compared = [
        comparison(RTN3, WANDA, "en", 4.0, "loss"),
        comparison(RTN3, WANDA, "ko", -0.5, "tie"),
        comparison(RTN3, WANDA, "ko", -9.0, "win", "kld"),
    ]
    (one,) = equal_bytes([RTN3, WANDA], compared, {"rtn3": 375e6, "wanda": 370e6}, "")
    assert (one.label, one.beside, one.relation) == ("wanda", "rtn3", "equal")
    english, korean = one.comparisons
    assert (english.difference.value, english.difference.low, english.difference.high) == (-4.0, -6.0, -3.0)
    assert (english.verdict, korean.verdict) == ("win", "tie")
    assert (english.a, english.b, english.variant_a.method) == ("wanda", "rtn3", "wanda")
    assert one.sentence_en == (
        "wanda (370 MB) against rtn3 (375 MB, +1.4%), extra bits per sentence: better in 1 of 2 (en); "
        "tied in 1 of 2 (ko; no difference established)."
    )
    assert one.sentence_ko.startswith("wanda (370 MB) 대 rtn3 (375 MB, +1.4%), 문장당 추가 비트: ")


def test_nearest_below_and_above_are_said_to_be_that() -> None:
    compared = [comparison(SVD, RTN3, "ko", 30.0, "loss"), comparison(RTN4, SVD, "ko", -90.0, "win")]
    sizes = {"svd": 450e6, "rtn3": 375e6, "rtn4": 500e6}
    below, above = equal_bytes([SVD, RTN3, RTN4], compared, sizes, "corpus=x")
    assert "rtn3 (375 MB, −16.7%, the nearest below) (corpus=x)" in below.sentence_en
    assert "worse in 1 of 1 (ko)" in below.sentence_en
    assert "rtn4 (500 MB, +11.1%, 위로 가장 가까운 크기)" in above.sentence_ko


def test_nothing_without_such_methods_sizes_or_comparisons() -> None:
    compared = [comparison(RTN4, RTN3, "ko", -4.0, "win")]
    assert equal_bytes([RTN3, RTN4], compared, {"rtn3": 1.0, "rtn4": 1.0}, "") == []
    assert equal_bytes([RTN3, WANDA], compared, {"rtn3": 1.0, "wanda": 1.0}, "") == []
    assert equal_bytes([RTN3, WANDA], compared, {"wanda": 1.0}, "") == []
