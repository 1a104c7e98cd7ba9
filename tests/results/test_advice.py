"""Advice goes no further than the comparisons: constructed losses, sizes and verdicts give stated sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations

import pytest

from results.advice import Advice, advise, limit_above, size_words
from results.cell import Variant
from results.claim import Change
from results.contests import Comparison
from results.estimate import Estimate

VARIANT = Variant("tiny/model", "w" * 32, "rtn")
MB = 1e6


def change(label: str, language: str, lost: float, established: bool = True) -> Change:
    bits = Estimate(lost, lost - 1, lost + 1, 0.95, "t")
    ratio = Estimate(0.1, 0.05, 0.15, 0.95, "t")
    return Change(
        VARIANT, label, language, "", ratio, ratio, bits, None, None, 0.0, 0.0, "", "", established=established
    )


def comparison(a: str, b: str, language: str, verdict: str, measure: str = "bits") -> Comparison:
    return Comparison(a, b, VARIANT, VARIANT, language, "", measure, Estimate(-1.0), 0.0, 0.0, verdict)  # type: ignore[arg-type]


def told(
    lost: Mapping[str, float],
    sizes: Mapping[str, float],
    established: Sequence[tuple[str, str]],
    languages: Sequence[str] = ("ko",),
) -> list[Advice]:
    """``established``: (winner, loser) in every language; any other two are tied."""
    compared = []
    for a, b in combinations(lost, 2):
        verdict = "win" if (a, b) in established else "loss" if (b, a) in established else "tie"
        compared += [comparison(a, b, language, verdict) for language in languages]
        compared += [comparison(a, b, language, "win", "kld") for language in languages]  # of no account
    changes = [change(label, language, value) for label, value in lost.items() for language in languages]
    return advise(changes, compared, {label: size * MB for label, size in sizes.items()}, "")


def test_the_best_under_a_limit_with_whom_it_beats_and_from_whom_it_cannot_be_told_apart() -> None:
    (one,) = told({"a": 40.0, "b": 18.0, "c": 20.0}, {"a": 388, "b": 389, "c": 388.5}, [("b", "a"), ("c", "a")])
    assert (one.variant, one.beats, one.ties) == ("b", ("a",), ("c",))
    assert one.sentence_en == (
        "Under 0.39 GB, for Korean, take b (389 MB). It loses 18.0 bits per sentence [17.0, 19.0]. "
        "Established better than: a. Not told apart from: c."
    )
    assert one.sentence_ko == (
        "0.39 GB 미만, 한국어: b (389 MB) 선택을 권합니다. 문장당 18.0비트를 잃습니다 [17.0, 19.0]. "
        "더 낫다고 확인된 상대: a. 차이가 확인되지 않은 상대: c."
    )


def test_without_an_established_advantage_nothing_is_recommended() -> None:
    (one,) = told({"a": 18.0, "b": 17.0}, {"a": 388, "b": 389}, [])
    assert "nothing is established to be best" in one.sentence_en
    assert "take" not in one.sentence_en
    assert "Not told apart from: a." in one.sentence_en
    assert "권합니다" not in one.sentence_ko


def test_one_that_is_established_to_be_beaten_is_not_taken_whatever_its_own_loss() -> None:
    (one,) = told({"a": 17.0, "b": 17.5}, {"a": 388, "b": 387}, [("b", "a")])
    assert one.variant == "b"
    assert told({"a": 17.0, "b": 17.5}, {"a": 388, "b": 389}, [("b", "a")]) == []  # `b` is not on the front either


def test_a_larger_one_is_taken_only_where_it_is_established_to_be_better() -> None:
    lost, sizes = {"small": 100.0, "middle": 20.0, "large": 19.0}, {"small": 300, "middle": 388, "large": 500}
    steps = told(lost, sizes, [("middle", "small"), ("large", "small")])
    assert [one.variant for one in steps] == ["small", "middle"]
    assert "only small (300 MB) fits" in steps[0].sentence_en
    assert steps[0].limit <= 388 * MB
    steps = told(lost, sizes, [("middle", "small"), ("large", "small"), ("large", "middle")])
    assert [one.variant for one in steps] == ["small", "middle", "large"]
    assert steps[2].beats == ("middle", "small")


def test_of_two_alike_in_loss_the_smaller_is_taken() -> None:
    (one,) = told({"a": 17.0, "b": 17.0, "c": 30.0}, {"a": 389, "b": 388, "c": 387}, [("a", "c"), ("b", "c")])
    assert one.variant == "b"


def test_korean_and_the_language_that_loses_most_are_spoken_of() -> None:
    changes = [change(label, code, lost) for label in "ab" for code, lost in (("en", 1.0), ("ko", 2.0), ("vi", 3.0))]
    sizes = {"a": 388 * MB, "b": 389 * MB}
    assert [one.language for one in advise(changes, [], sizes, "")] == ["ko", "vi"]
    without = [one for one in changes if one.language != "ko"]
    assert [one.language for one in advise(without, [], sizes, "")] == ["vi"]


def test_what_has_no_size_or_no_bits_is_left_out() -> None:
    assert advise([change("a", "ko", 1.0)], [], {}, "") == []


def test_a_loss_that_is_not_established_is_said_so() -> None:
    (one,) = advise([change("a", "ko", 0.3, established=False)], [], {"a": 388 * MB}, "")
    assert one.sentence_en.endswith("No loss is established: +0.3 bits per sentence [−0.7, 1.3].")
    assert "손실은 확인되지 않았습니다" in one.sentence_ko


@pytest.mark.parametrize(
    ("largest", "after"),
    [(392.3e6, None), (375.1e6, 387.9e6), (999.9e6, None), (2_400_000_000, 2_400_000_001), (1234, None), (1, 2)],
)
def test_a_limit_lies_above_what_fits_and_not_above_what_does_not(largest: float, after: float | None) -> None:
    limit = limit_above(largest, after)
    assert limit > largest
    assert after is None or limit <= after
    words = size_words(limit)
    unit = {"GB": 1e9, "MB": 1e6, "KB": 1e3}[words[-2:]]
    assert float(words[:-3]) * unit == pytest.approx(limit, abs=0.4)
    assert re.fullmatch(r"\d+\.\d{2,} [GMK]B", words)
