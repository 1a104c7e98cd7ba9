"""A synthetic judged run: answers, pairwise records with their games, and the judge's words."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from results.cell import Cell, Variant
from results.conversation import Conversation
from results.estimate import Estimate, Sample
from results.games import Asked, Game, write_asked, write_games
from results.record import Record
from results.store import Run
from results.winrate import averaged, conservative, interval, rate

CATEGORIES = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
JUDGE = {"judge": "api", "model": "judge-1", "prompts": "p" * 16, "style": "explained", "replicate": 0}
Games = Callable[[str, str, int], np.ndarray]
"""(method, language, question) -> games (turns, orders): 1, 1/2, 0 or NaN."""
Say = Callable[[str, str, int, int], str]
"""(method, language, question, turn) -> an answer."""


def variant(method: str) -> Variant:
    return Variant("tiny", "w" * 32, method, {} if method == "none" else {"bits": 4})


def build_judged(
    folder: Path,
    games: Games,
    methods: Sequence[str] = ("rtn",),
    languages: Sequence[str] = ("en", "ko"),
    questions: int = 12,
    say: Say = lambda method, language, question, turn: f"{method} {language} {question} {turn}",
    reason: str = "because",
    wrong: Callable[[str, str, int], bool] = lambda method, language, question: False,
    again: Callable[[str, int], np.ndarray] | None = None,
) -> Path:
    """A/A first of each language; every duel has two turns in both orders.

    ``again``: (language, question) -> games of `none` against its second answers.
    """
    with Run.open(folder, write=True) as run:
        words = []
        for language in languages:
            answered = {}
            for method in ("none", *methods):
                answered[method] = _answers(run, method, language, questions, say, wrong)
            if again:
                answered["again"] = _answers(run, "none", language, questions, say, wrong, seed=1)
            write_asked(folder, f"asked-{language}", _asked(language, questions))
            for method in ("none", *(["again"] if again else []), *methods):
                cell = Cell(
                    variant("none" if method == "again" else method),
                    "pairwise",
                    1,
                    language,
                    f"asked-{language}",
                    JUDGE,
                    questions,
                    answered["again" if method == "again" else "none"].key,
                )
                second = again and method == "again"
                of = np.stack([again(language, n) if second else games(method, language, n) for n in range(questions)])
                notes = {"judge": "judge-1", "opponent": "none"} | ({"again": "re-run"} if second else {})
                scores = [averaged(of), conservative(of)]
                estimates = {
                    "win_rate": interval(rate(scores[0])),
                    "win_rate_conservative": interval(rate(scores[1])),
                    "win_rate_gated": interval(rate(scores[0])),
                    "errors": Estimate(0.0),
                }
                run.append(Record(cell, "ok", estimates, notes=notes), _samples(language, of, scores[0]))
                write_games(folder, cell.key, _games(method, language, of))
                words += [
                    {"key": game.request, "reply": {"message": f"{reason} {game.request}"}}
                    for game in _games(method, language, of)
                ]
        path = folder / "judgements" / "judge-1.jsonl"
        path.write_text("".join(json.dumps(word, ensure_ascii=False) + "\n" for word in words), encoding="utf-8")
    return folder


def _asked(language: str, questions: int) -> list[Asked]:
    return [
        Asked(f"q{n}", f"{language}-{n}", CATEGORIES[n % 8], (f"Ask {n} {language}?", f"And then {n} {language}?"))
        for n in range(questions)
    ]


def _answers(
    run: Run,
    method: str,
    language: str,
    questions: int,
    say: Say,
    wrong: Callable[[str, str, int], bool],
    seed: int = 0,
) -> Cell:
    params = {"questions": "bundled", "max_new_tokens": 8, "seed": seed}
    cell = Cell(variant(method), "answers", 1, language, f"asked-{language}", params, questions)
    told = [
        Conversation(f"q{n}", tuple(say(method, language, n, turn) for turn in (1, 2)), ("end",) * 2, (4, 4))
        for n in range(questions)
    ]
    samples = [
        Sample(
            f"{language}-{n}",
            f"g{n}",
            {"answers": 2.0, "rated": 2.0, "wrong_language": 2.0 * wrong(method, language, n), "tokens": 8.0},
        )
        for n in range(questions)
    ]
    share = sum(wrong(method, language, n) for n in range(questions)) / questions
    estimates = {
        "wrong_language": Estimate(share, 0.0, 1.0, 0.95, "t"),
        "looped": Estimate(0.0, 0.0, 0.2, 0.95, "exact"),
    }
    run.append(Record(cell, "ok", estimates), samples, told)
    return cell


def _samples(language: str, games: np.ndarray, scores: np.ndarray) -> list[Sample]:
    found = []
    for n, (of, score) in enumerate(zip(games, scores, strict=True)):
        kept = {"score": float(score), **{f"score_{turn + 1}": float(of[turn].mean()) for turn in range(2)}} | {
            f"game_1_{turn + 1}_{order + 1}": float(of[turn, order]) for turn in range(2) for order in range(2)
        }
        kept = {name: value for name, value in kept.items() if value == value}
        found.append(Sample(f"{language}-{n}", f"g{n}", kept))
    return found


def _games(method: str, language: str, games: np.ndarray) -> list[Game]:
    return [
        Game(
            f"q{n}",
            turn + 1,
            1,
            order + 1,
            None if np.isnan(of[turn, order]) else float(of[turn, order]),
            "no verdict was read" if np.isnan(of[turn, order]) else "",
            f"{method}-{language}-{n}-{turn}-{order}",
        )
        for n, of in enumerate(games)
        for turn in range(2)
        for order in range(2)
    ]
