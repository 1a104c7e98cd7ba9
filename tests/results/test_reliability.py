from __future__ import annotations

import numpy as np
import pytest

from results import winrate
from results.cell import Cell, Variant
from results.estimate import Sample
from results.record import Record
from results.reliability import LABELS, agreement, between_jurors, cards, games_of, is_aa, label_key, trust
from results.store import Run

JUDGE = {"judge": "local", "model": "weak", "prompts": "abc"}


def samples(games):
    """games (questions, turns, jurors, orders)."""
    found = []
    for number, of in enumerate(np.asarray(games, dtype=float)):
        kept = {
            f"game_{juror}_{turn}_{order}": float(of[turn - 1, juror - 1, order - 1])
            for turn in range(1, of.shape[0] + 1)
            for juror in range(1, of.shape[1] + 1)
            for order in (1, 2)
        }
        named = {name: value for name, value in kept.items() if value == value}
        found.append(Sample(f"q{number}", f"q{number}", named))
    return found


@pytest.fixture
def judged(tmp_path):
    """``judged({"rtn": games, "none": games})``: a run with pairwise records in Korean; `none` meets itself."""

    def make(of, language="ko"):
        with Run.open(tmp_path / "run", write=True) as run:
            answers = {
                method: Cell(Variant("m", "w", method), "answers", 1, language, "t", {"questions": "bundled"})
                for method in dict.fromkeys(["none", *of])
            }
            for cell in answers.values():
                run.append(Record(cell, "ok"))
            for method, games in of.items():
                cell = Cell(
                    Variant("m", "w", method), "pairwise", 1, language, "t", JUDGE, reference=answers["none"].key
                )
                run.append(Record(cell, "ok"), samples(games))
        return Run.open(tmp_path / "run")

    return make


def always_first(count):
    """What a judge does that always takes the answer shown first: it wins one order and loses the other."""
    return np.tile([1.0, 0.0], (count, 2, 1, 1))


def test_a_judge_that_takes_the_first_answer_is_shown_to_be_weak(judged):
    (card,) = cards(judged({"rtn": always_first(15), "none": always_first(15)}))
    assert (card.consistency.value, card.first_slot_share.value, card.aa_ties.value) == (0.0, 1.0, 0.0)
    assert card.weaknesses == ("inconsistent", "slot", "uneven")
    assert card.sentence == (
        "weak is a weak judge in ko: its verdict survives a change of order on only 0% [0%, 22%] of the turns; where "
        "the order decides, the answer shown first wins 100% [78%, 100%]; of two equal answers it calls only "
        "0% [0%, 22%] a tie."
    )
    assert "약한 심판" in card.sentence_ko
    assert card.to_json()["weaknesses"] == ["inconsistent", "slot", "uneven"]


def test_a_sound_judge_has_no_weakness_and_a_a_is_told_apart(judged):
    sound = np.repeat([1.0, 0.0, 1.0, 0.5] * 3, 4).reshape(12, 2, 1, 2)
    run = judged({"rtn": sound, "none": np.full((12, 2, 1, 2), 0.5)})
    (card,) = cards(run)
    assert (card.consistency.value, card.first_slot_share, card.aa_ties.value) == (1.0, None, 1.0)
    assert card.ties.value == 0.25
    assert (card.questions, card.language, card.weaknesses, card.open) == (12, "ko", (), ())
    assert card.sentence == "nothing disqualifies weak as a judge in ko."
    pairwise = [record for record in run.records() if record.cell.task == "pairwise"]
    assert [is_aa(record, run) for record in pairwise] == [False, True]


def test_few_questions_neither_vouch_for_a_judge_nor_reject_it(judged):
    (card,) = cards(judged({"rtn": np.concatenate([always_first(2), np.ones((2, 2, 1, 2))])}))
    assert (card.weaknesses, card.open) == ((), ("uneven", "inconsistent", "slot"))
    assert card.sentence == ("too little was judged to vouch for weak as a judge in ko, or to reject it (4 questions).")
    assert card.sentence_ko.startswith("ko에서 weak을(를)")


def test_shares_are_those_of_winrate_where_every_game_has_a_verdict():
    games = np.random.default_rng(0).choice([0.0, 0.5, 1.0], size=(30, 4, 2))
    found = trust(games)
    assert found["position_consistency"].value == pytest.approx(winrate.consistency(games).value)
    assert found["position_consistency"].high == pytest.approx(winrate.consistency(games).interval().high)
    assert found["ties"].value == pytest.approx(winrate.ties(games).value)
    assert found["first_slot_share"].value == pytest.approx(winrate.first_slot_share(games))
    assert trust(np.full((2, 2, 2), np.nan)) == {}


def test_looks_of_several_variants_at_one_question_are_pooled(judged):
    steady, fickle = np.ones((4, 2, 1, 2)), always_first(4)
    (card,) = cards(judged({"rtn": steady, "awq": fickle}))
    assert card.consistency.value == 0.5
    assert card.consistency.clusters == 4
    assert card.aa_ties is None


def test_samples_give_the_games_back_with_holes_where_there_was_no_verdict():
    games = np.random.default_rng(0).choice([0, 0.5, 1, np.nan], size=(5, 2, 3, 2))
    found = games_of(samples(games))
    np.testing.assert_array_equal(np.stack(list(found.values())), games.reshape(5, 6, 2))


def test_jurors_agree_where_both_say_the_same():
    win, loss, torn = [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]
    assert between_jurors([samples([[[win, win], [win, loss]]])]) == 0.5
    assert between_jurors([samples([[[win, torn], [torn, torn]]])]) == 0.5
    assert between_jurors([samples([[[win]]])]) is None
    assert between_jurors([samples([[[win, [1.0, np.nan]]]])]) is None


def test_agreement_with_people_is_averaged_over_orders_and_errors_agree_with_nobody(judged):
    found = agreement([[1.0, 1.0], [1.0, 0.0], [np.nan, 0.5]], [1.0, 1.0, 0.5])
    assert found.value == pytest.approx((1 + 0.5 + 0.5) / 3)
    with pytest.raises(ValueError, match=r"games have shape \(1, 2\) and there are 2 labels"):
        agreement([[1.0, 1.0]], [1.0, 1.0])
    run = judged({"rtn": always_first(3)})
    record = next(record for record in run.records() if record.cell.task == "pairwise")
    (run.folder / "judgements").mkdir()
    (run.folder / "judgements" / LABELS).write_text(f'{{"{label_key(record)}": {{"value": 0.75}}}}')
    (card,) = cards(run)
    assert card.with_people.value == 0.75


def test_a_run_without_judgements_has_no_cards(judged):
    assert cards(judged({})) == []
