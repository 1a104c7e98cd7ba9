from __future__ import annotations

import numpy as np
import pytest

from results.bridge import bridges
from results.cell import Cell, Variant
from results.estimate import Sample
from results.record import Record
from results.statistics import t_interval
from results.store import Run


def samples(games):
    """games (questions, turns, orders)."""
    return [
        Sample(
            f"q{number}",
            f"q{number}",
            {f"game_1_{turn}_{order}": float(of[turn - 1, order - 1]) for turn in (1, 2) for order in (1, 2)}
            | {"score": float(of.mean())},
        )
        for number, of in enumerate(games)
    ]


@pytest.fixture
def judged(tmp_path):
    def make(judges):
        """Judge's parameters with its games of rtn against none, in Korean."""
        none, rtn = (Variant("m", "w", method) for method in ("none", "rtn"))
        answers = Cell(none, "answers", 1, "ko", "t")
        with Run.open(tmp_path / "run", write=True) as run:
            run.append(Record(answers, "ok"))
            for params, games in judges:
                run.append(
                    Record(Cell(rtn, "pairwise", 1, "ko", "t", params, reference=answers.key), "ok"), samples(games)
                )
                run.append(
                    Record(Cell(none, "pairwise", 1, "ko", "t", params, reference=answers.key), "ok"), samples(games)
                )
        return Run.open(tmp_path / "run")

    return make


def test_a_bridge_counts_games_and_moves_win_rates_by_question(judged):
    rng = np.random.default_rng(0)
    before = rng.choice([0, 0.5, 1], size=(20, 2, 2))
    after = np.where(rng.random(before.shape) < 0.3, 1.0, before)
    (bridge,) = bridges(judged([({"model": "old"}, before), ({"model": "new"}, after)]))
    assert (bridge.before, bridge.after, bridge.language, bridge.games) == ("old", "new", "ko", 80)
    assert bridge.agreement.value == pytest.approx((before == after).mean())
    expected = t_interval((after - before).mean(axis=(1, 2)))
    assert (bridge.shift.value, bridge.shift.low) == pytest.approx((expected.value, expected.low))
    assert bridge.sentence.startswith("ko: new gives the verdict of old in ")
    assert "of 80 games; win rates move by +" in bridge.sentence


def test_the_same_judge_with_other_prompts_is_told_by_them_and_one_judge_has_no_bridge(judged):
    games = np.ones((3, 2, 2))
    both = [({"model": "m", "prompts": "a"}, games), ({"model": "m", "prompts": "b"}, games)]
    (bridge,) = bridges(judged(both))
    assert (bridge.before, bridge.after) == ("m (prompts a)", "m (prompts b)")
    assert (bridge.agreement.value, bridge.shift.value) == (1.0, 0.0)


def test_one_judge_has_no_bridge(judged):
    assert bridges(judged([({"model": "m"}, np.ones((3, 2, 2)))])) == []
