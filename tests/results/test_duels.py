"""Judged pairs with all that belongs to them, and the games, questions and words behind them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from judged_run import build_judged

from results.duels import duels, words
from results.games import Asked, read_asked, read_games, read_words, write_asked
from results.store import Run


def games(method: str, language: str, question: int) -> np.ndarray:
    if question == 0:
        return np.full((2, 2), np.nan)
    return np.full((2, 2), {"none": 0.5, "rtn": 0.0, "awq": 1.0}[method])


def test_each_pair_has_question_answers_games_and_words(tmp_path: Path) -> None:
    folder = build_judged(
        tmp_path, games, ("rtn", "awq"), questions=3, wrong=lambda method, language, n: (method, n) == ("rtn", 2)
    )
    run = Run.open(folder)
    found = duels(run)
    assert len(found) == 2 * 2 * 3  # A/A left out
    assert [(one.language, one.question, one.variant) for one in found[:3]] == [
        ("en", "q0", "rtn 4-bit"),
        ("en", "q0", "awq 4-bit"),
        ("en", "q1", "rtn 4-bit"),
    ]
    of = {(one.variant, one.language, one.question): one for one in found}
    one = of["rtn 4-bit", "ko", "q2"]
    assert (one.against, one.category, one.asked) == ("none", "reasoning", ("Ask 2 ko?", "And then 2 ko?"))
    assert (one.ours, one.theirs) == (("rtn ko 2 1", "rtn ko 2 2"), ("none ko 2 1", "none ko 2 2"))
    assert (one.wrong, one.outcome, one.score) == ("ours", "loss", 0.0)
    assert of["awq 4-bit", "ko", "q2"].wrong == "neither"
    assert of["awq 4-bit", "ko", "q2"].outcome == "win"
    assert of["rtn 4-bit", "en", "q0"].outcome == "unread"
    assert [(game.turn, game.order) for game in one.games] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    said = words(run, found)
    assert said[one.games[3].request] == "because rtn-ko-2-1-1"
    assert {game.reason for game in of["rtn 4-bit", "en", "q0"].games} == {"no verdict was read"}


def test_without_the_questions_pairs_are_shown_by_id(tmp_path: Path) -> None:
    folder = build_judged(tmp_path, games, questions=2)
    for path in (folder / "judgements" / "asked").iterdir():
        path.unlink()
    one = duels(Run.open(folder))[1]
    assert (one.question, one.category, one.asked, one.score) == ("q1", "", (), 0.0)


def test_questions_are_kept_once(tmp_path: Path) -> None:
    asked = [Asked("q1", "s1", "math", ("하나?", "둘?"))]
    write_asked(tmp_path, "d", asked)
    write_asked(tmp_path, "d", [])
    assert read_asked(tmp_path, "d") == asked
    assert read_asked(tmp_path, "other") == []
    assert read_games(tmp_path, "ab") == []


def test_a_judge_of_probabilities_has_them_as_its_words(tmp_path: Path) -> None:
    (tmp_path / "judgements").mkdir()
    kept = {"key": "k", "logprobs": [math.log(0.5), math.log(0.25), math.log(0.001)]}
    (tmp_path / "judgements" / "local.jsonl").write_text(json.dumps(kept) + "\n" + '{"key":"torn"')
    assert read_words(tmp_path, ["k", "torn"]) == {"k": "A 0.5 · B 0.25 · C 0.001"}
