"""Win rates as claims: what is established, what a weak judge or too few questions leave open, and gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from judged_run import build_judged

from results.claims import make_claims
from results.estimate import Estimate
from results.judged import WinRate, comparable
from results.reliability import Card
from results.store import Run

TIE, LOST, WON = np.full((2, 2), 0.5), np.zeros((2, 2)), np.ones((2, 2))
FIRST = np.array([[1.0, 0.0], [1.0, 0.0]])
"""The slot decides, and nothing else."""


def found(folder: Path) -> dict[tuple[str, str], WinRate]:
    return {(one.variant.method, one.language): one for one in make_claims(Run.open(folder)).win_rates}


def sound(method: str, language: str, question: int) -> np.ndarray:
    """Korean loses most questions, English ties; `none` ties with itself."""
    if method == "none":
        return TIE
    return (LOST if question % 4 else TIE) if language == "ko" else (WON if question % 5 == 0 else TIE)


def test_loss_and_gap_are_established_by_question(tmp_path: Path) -> None:
    rates = found(build_judged(tmp_path, sound, questions=24))
    korean, english = rates["rtn", "ko"], rates["rtn", "en"]
    assert korean.outcome == "loss"
    assert korean.rate.value == pytest.approx(6 * 0.5 / 24)
    assert korean.shares == (0, 0.25, 0, 0.75, 0)
    assert english.outcome == "tie"
    assert english.p == pytest.approx(2 / 2**5)  # five wins, all else even: sign flips
    assert korean.gap
    assert korean.gap.value == pytest.approx(korean.rate.value - english.rate.value)
    assert (korean.comparable, korean.parallel, korean.gap_established) == ("yes", True, True)
    assert english.gap is None
    assert rates["none", "ko"].aa
    assert rates["none", "ko"].gap is None
    assert "worse than none" in korean.sentence_en
    assert "none보다 못합니다" in korean.sentence_ko
    assert "Gap over English on the same questions: −47.9 points" in korean.sentence_en


def test_second_answers_of_none_give_the_floor_and_nothing_inside_it_is_a_loss(tmp_path: Path) -> None:
    """24 questions, all of which rtn loses by half a game; `none` wins and loses as much against itself by turns."""
    half = np.array([[0.5, 0.0], [0.5, 0.5]])

    def again(language: str, question: int) -> np.ndarray:
        return TIE if language == "en" else WON if question % 2 else LOST

    folder = build_judged(tmp_path, lambda m, *_: TIE if m == "none" else half, questions=24, again=again)
    rates = make_claims(Run.open(folder)).win_rates
    named = {("again" if one.again else one.variant.method, one.language): one for one in rates}
    assert set(named) == {(who, code) for who in ("none", "again", "rtn") for code in ("en", "ko")}
    english, korean = named["rtn", "en"], named["rtn", "ko"]
    assert (english.rate.value, english.p_adjusted) == (korean.rate.value, korean.p_adjusted)
    assert english.floor
    assert english.floor.band == 0
    assert english.outcome == "loss"
    assert korean.floor
    # of 24 fair signs of half a point the mean is beyond 10 / 24 / 2 in at most one case of twenty
    assert korean.floor.band == pytest.approx(10 / 24 / 2, abs=0.001)
    assert korean.outcome == "tie"  # 12.5 points lie inside it
    assert named["none", "ko"].floor is None
    assert named["again", "ko"].outcome == "tie"
    assert named["again", "ko"].sentence_en.startswith(
        "A/A: none against its own second answers in Korean, drawn anew: 50.0% ["
    )
    assert "Nothing within 20.8 points of an even match" in named["again", "ko"].sentence_en
    card = named["rtn", "ko"].card
    assert card
    assert card.aa_ties
    assert card.aa_ties.value == 1  # of the same answers, not of the second ones


def test_parts_are_the_mean_over_their_questions_and_their_p_values_those_of_one_family(tmp_path: Path) -> None:
    def games(method: str, language: str, question: int) -> np.ndarray:
        if method == "none":
            return TIE
        return np.array([[0.0, 0.0], [0.5, 0.5]]) if question % 8 == 3 else TIE  # math: the first turn is lost

    found_by = found(build_judged(tmp_path, games, questions=48))
    parts = {(part.kind, part.name): part for part in found_by["rtn", "ko"].parts}
    assert len(parts) == 8 + 2
    math = parts["category", "math"]
    assert (math.rate.value, math.questions) == (0.25, 6)
    assert math.p == pytest.approx(2 / 2**6)
    first, second = parts["turn", "1"], parts["turn", "2"]
    assert first.rate.value == pytest.approx(0.5 - 6 * 0.5 / 48)
    assert first.rate.low is not None
    assert (second.rate.value, second.rate.low, second.p) == (0.5, None, 1.0)
    # 20 tests, of which two categories and two turns have p = 1/32 and all others 1
    assert {round(part.p_adjusted, 6) for part in (math, first)} == {round(20 / 32 / 4, 6)}
    assert parts["category", "writing"].p_adjusted == 1
    assert found_by["none", "ko"].parts == ()


def test_a_judge_of_slots_establishes_nothing_and_is_called_weak(tmp_path: Path) -> None:
    run = build_judged(
        tmp_path, lambda *where: FIRST if where[2] else LOST if where[0] != "none" else FIRST, questions=40
    )
    claims = make_claims(Run.open(run))
    one = next(one for one in claims.win_rates if not one.aa)
    assert one.weak
    assert one.outcome == "tie"
    assert "The judge is weak in English: this rate establishes nothing." in one.sentence_en
    assert one.shares.split == pytest.approx(39 / 40)


def test_questions_that_all_come_out_alike_have_no_interval(tmp_path: Path) -> None:
    claims = make_claims(Run.open(build_judged(tmp_path, lambda *_: TIE, questions=3)))
    assert all(one.rate.low is None and one.not_ruled_out is None for one in claims.win_rates)
    (said,) = [one.sentence_en for one in claims.not_established if "no win or loss" in one.sentence_en]
    assert "in en, ko" in said
    assert "all came out alike" in said
    assert "0.0 points" not in said


def test_three_lost_questions_are_too_few(tmp_path: Path) -> None:
    rates = found(build_judged(tmp_path, lambda method, *_: TIE if method == "none" else LOST, questions=3))
    assert rates["rtn", "ko"].p == 0.25  # 2 of 2^3 sign patterns, though no interval has any width
    assert rates["rtn", "ko"].outcome == "tie"


def test_a_question_without_a_verdict_is_left_out_of_rate_and_gap(tmp_path: Path) -> None:
    none = np.full((2, 2), np.nan)

    def unread(method: str, language: str, question: int) -> np.ndarray:
        return none if (language, question) == ("ko", 0) else sound(method, language, question)

    korean = found(build_judged(tmp_path, unread, questions=24))["rtn", "ko"]
    assert korean.questions == 23
    assert korean.gap
    assert korean.gap.clusters == 23
    assert korean.shares.unread == pytest.approx(1 / 24)


def card(consistency: Estimate | None, aa: Estimate | None) -> Card:
    return Card("api", "m", "p", "ko", 24, consistency, None, None, aa, None, None)


def test_languages_compare_only_where_the_judge_does_alike() -> None:
    high, low = Estimate(0.9, 0.8, 1.0, 0.95, "t"), Estimate(0.5, 0.4, 0.6, 0.95, "t")
    assert comparable(card(high, high), card(high, high)) == "yes"
    assert comparable(card(high, high), card(low, high)) == "no"
    assert comparable(card(high, high), card(high, low)) == "no"
    assert comparable(card(high, None), card(high, high)) == "unknown"
    assert comparable(card(low, None), card(high, high)) == "no"
    assert comparable(None, card(high, high)) == "unknown"
