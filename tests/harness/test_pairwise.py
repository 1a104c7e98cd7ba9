from __future__ import annotations

import numpy as np
import pytest

from harness.pairwise import Bout, TooManyErrors, games_of, measure
from harness.questions import asked, sample_id
from judges.duel import Judgement, Match, Preference
from judges.panel import PanelMatch, tally
from results import winrate
from results.conversation import Conversation
from results.length_control import Duels, at_equal_length

SAID = {1.0: Preference.FIRST, 0.5: Preference.TIE, 0.0: Preference.SECOND}


def judged(games, language="en", texts=None, reasons="HTTP 500"):
    """games (questions, turns, orders) or (questions, turns, jurors, orders) -> a bout and its matches."""
    games = np.asarray(games, dtype=float)
    games = games[:, :, None] if games.ndim == 3 else games
    questions = asked("bundled", language)
    questions = tuple(questions[number % len(questions)] for number in range(len(games)))
    if len(games) > len(set(questions)):
        from dataclasses import replace

        questions = tuple(replace(question, id=str(number)) for number, question in enumerate(questions))
    texts = texts or (lambda side, number, turn: f"{side} answer")

    def said(value, order):
        if np.isnan(value):
            return Judgement(Preference.FAILED, reason=reasons)
        return Judgement(SAID[value if order == 0 else 1 - value])

    matches = [
        PanelMatch(
            tuple(Match(question, turn + 1, (said(first, 0), said(second, 1))) for first, second in games[number, turn])
        )
        for number, question in enumerate(questions)
        for turn in range(2)
    ]
    sides = [
        {
            q.id: Conversation(q.id, tuple(texts(side, n, turn) for turn in (1, 2)), ("end",) * 2, (1, 1))
            for n, q in enumerate(questions)
        }
        for side in ("ours", "theirs")
    ]
    return Bout(questions, *sides), matches


def drawn(count, seed=0, **options):
    rng = np.random.default_rng(seed)
    return rng.choice([0.0, 0.5, 1.0], size=(count, 2, 2))


def test_estimates_are_those_of_results_and_of_fastchats_formula():
    games = drawn(24)
    bout, matches = judged(games)
    found = measure(bout, matches)
    counts = tally(matches)
    assert games_of(bout.questions, matches).tolist() == games.tolist()
    assert found.estimates["win_rate"] == winrate.rate(winrate.averaged(games)).interval()
    assert found.estimates["win_rate"].clusters == 24
    assert found.estimates["win_rate_conservative"].value == pytest.approx(
        (counts.wins + counts.ties / 2) / (counts.wins + counts.ties + counts.losses)
    )
    assert found.estimates["position_consistency"].value == pytest.approx(counts.consistency)
    assert found.estimates["ties"].value == pytest.approx((games == 0.5).mean())
    assert found.estimates["first_slot_share"].value == winrate.first_slot_share(games)
    assert found.estimates["errors"].value == 0
    assert not {"win_rate_worst", "win_rate_best"} & set(found.estimates)


def test_samples_hold_every_game_so_that_everything_can_be_folded_again():
    games = drawn(5)
    games[2, 1] = np.nan
    bout, matches = judged(games)
    with pytest.raises(TooManyErrors):
        measure(bout, matches)
    games = drawn(60)
    games[2, 1, 0] = np.nan
    bout, matches = judged(games)
    samples = measure(bout, matches).samples
    assert samples[0].id == sample_id(bout.questions[0])
    assert samples[0].group == bout.questions[0].group
    back = [
        [[s.quantities.get(f"game_1_{turn}_{order}", np.nan) for order in (1, 2)] for turn in (1, 2)] for s in samples
    ]
    np.testing.assert_array_equal(back, games)
    assert "score_2" not in samples[2].quantities
    assert samples[2].quantities["score"] == games[2, 0].mean()


def test_errors_give_bounds_and_too_many_fail_with_their_reasons():
    games = drawn(60)
    games[0, 0, 0] = games[1, 0, 1] = np.nan
    bout, matches = judged(games)
    found = measure(bout, matches)
    worst, best = (found.estimates[f"win_rate_{name}"].value for name in ("worst", "best"))
    assert worst == pytest.approx(np.nan_to_num(games, nan=0.0).mean())
    assert best == pytest.approx(np.nan_to_num(games, nan=1.0).mean())
    assert found.notes["errors"] == "2 of 120 matches have no verdict. 2 games: HTTP 500"
    games[2, 0, 0] = np.nan
    with pytest.raises(TooManyErrors, match=r"3 of 120 matches have no verdict .*more than 2%.* 3 games: HTTP 500"):
        measure(*judged(games))


def test_an_answer_in_the_wrong_language_loses_to_one_in_the_right_language():
    english = "This answer is written in plain English and long enough to be recognised as such."
    korean = "이 답변은 한국어로 쓰였으며 언어를 알아볼 수 있을 만큼 충분히 깁니다. 그래서 판정이 가능합니다."

    def texts(side, number, turn):
        return english if side == "theirs" and number < 2 else korean

    bout, matches = judged(np.zeros((4, 2, 2)), "ko", texts)
    found = measure(bout, matches)
    assert found.estimates["win_rate"].value == 0
    assert found.estimates["win_rate_gated"].value == 0.5
    assert [sample.quantities["gated"] for sample in found.samples] == [1, 1, 0, 0]
    said = "0 of the variant's and 4 of its opponent's 8 answers are in the wrong language"
    assert found.notes["language_gate"] == said


def test_a_panel_votes_for_the_headline_and_is_averaged_for_what_decides():
    win, loss, torn = [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]
    bout, matches = judged([[[win, win, loss]] * 2, [[win, torn, torn]] * 2, [[win, loss, torn]] * 2])
    found = measure(bout, matches)
    assert [sample.quantities["conservative"] for sample in found.samples] == [1, 1, 0.5]
    assert [sample.quantities["score"] for sample in found.samples] == pytest.approx([2 / 3, 2 / 3, 0.5])
    assert found.estimates["position_consistency"].value == pytest.approx(6 / 9)


def test_a_rate_at_equal_length_needs_thirty_decisive_questions():
    few = measure(*judged(drawn(24)))
    assert "decisive questions are too few" in few.notes["length_control"]
    assert "win_rate_length_controlled" not in few.estimates
    rng = np.random.default_rng(1)
    extra = rng.integers(-30, 30, size=80)
    games = np.repeat((extra + rng.normal(0, 20, 80) > 0).astype(float), 4).reshape(80, 2, 2)
    bout, matches = judged(games, texts=lambda side, n, turn: "a" * (50 + (extra[n] if side == "ours" else 0)))
    found = measure(bout, matches)
    scores = winrate.averaged(games)
    rates, _ = at_equal_length(Duels(scores, ["m"] * 80, ["s"] * 80, [str(n) for n in range(80)], 2.0 * extra))
    assert found.estimates["win_rate_length_controlled"].value == pytest.approx(rates["m"].value)


def test_a_missing_answer_has_no_length_and_no_language():
    bout, matches = judged(np.ones((3, 2, 2)))
    missing = Bout(bout.questions, {}, bout.theirs)
    found = measure(missing, matches)
    assert found.samples[0].quantities["length"] == 0
