"""Win rates of one variant's stored answers against another's, as judges see them: a phase of its own, no model loaded.

A *match* is a pair of answers to one turn of one question, shown to a judge in both orders. The question is the unit of
every interval. `win_rate` is averaged over orders and turns, and decides; `win_rate_conservative` is FastChat's
headline, where a win must be called in both orders; the others say how far to trust them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.questions import sample_id
from judges.duel import Match, Preference
from judges.language import KOMT_EXEMPT, AnswerLanguage, language_of
from judges.panel import PanelMatch, gated, question_scores, tally
from judges.problems import JudgingError
from judges.questions import Question
from results import winrate
from results.conversation import Conversation
from results.estimate import Estimate, Measurement, Sample
from results.length_control import Duels, at_equal_length, why_not
from results.reliability import trust

NAME = "pairwise"
VERSION = 1
SUMMARY = "win rates of stored answers against those of `none`, as judges see them; `langgap judge RUN` makes them"
LATER = True
FIELDS = {
    "judge": (None, "api, local or replay: `langgap judges` lists them and their parameters"),
    "model": (None, "who judges, as asked for"),
    "address": (None, "the endpoint without secrets, or the digest of a local judge's weights"),
    "prompts": (None, "hash of the prompts"),
    "style": (None, "explained, structured or direct"),
    "decoding": (None, "how the verdict is generated"),
    "replicate": (0, "which of several judgements of the same"),
}

SCORES = {Preference.FIRST: 1.0, Preference.TIE: 0.5, Preference.SECOND: 0.0}


@dataclass(frozen=True)
class Bout:
    """All matches of one variant against one opponent in one language."""

    questions: tuple[Question, ...]
    ours: Mapping[str, Conversation]
    """Question id -> the variant's answers."""
    theirs: Mapping[str, Conversation]


class TooManyErrors(ValueError):
    """More matches without a verdict than a win rate bears; the message says how many and why."""


def measure(bout: Bout, matches: Sequence[PanelMatch]) -> Measurement:
    """Estimates and samples of one cell. ``matches``: every question's turns in order, each with all jurors.

    Raises TooManyErrors above `judges.panel.ERROR_LIMIT`.
    """
    counts = tally(matches)
    if counts.warning:
        raise TooManyErrors(f"{counts.warning} {_reasons(matches)}".strip())
    games = games_of(bout.questions, matches)
    averaged = winrate.averaged(games)
    agreed = _agreed(bout.questions, matches)
    estimates = {
        "win_rate": winrate.interval(winrate.rate(averaged)),
        "win_rate_conservative": winrate.interval(winrate.rate(agreed)),
        **trust(games),
        "errors": Estimate(counts.errors / counts.matches, n=counts.matches),
    }
    notes = {}
    if np.isnan(games).any():
        worst, best = winrate.bounds(games)
        estimates |= {"win_rate_worst": Estimate(worst), "win_rate_best": Estimate(best)}
        notes["errors"] = f"{counts.errors} of {counts.matches} matches have no verdict. {_reasons(matches)}"
    quantities = _quantities(bout, games, averaged, agreed)
    notes |= _gate(bout, matches, estimates, quantities)
    notes |= _at_equal_length(averaged, quantities, estimates)
    samples = tuple(
        Sample(sample_id(question), question.group, of) for question, of in zip(bout.questions, quantities, strict=True)
    )
    return Measurement(samples, estimates, notes)


def games_of(questions: Sequence[Question], matches: Sequence[PanelMatch]) -> winrate.Array:
    """(questions, turns x jurors, orders), as `results.winrate` has them: every juror's look at a turn counts alike."""
    rows = [[_scores(juror) for juror in match.jurors] for match in matches]
    if not rows:
        raise ValueError("no question was judged")
    return np.array(rows, dtype=float).reshape(len(questions), -1, 2)


def _scores(match: Match) -> list[float]:
    return [SCORES.get(verdict, float("nan")) for verdict in match.verdicts]


def _agreed(questions: Sequence[Question], matches: Sequence[PanelMatch]) -> winrate.Array:
    """The conservative score of each question, of several jurors by their votes; NaN where there is none."""
    found = {score.id: score.conservative for score in question_scores(matches)}
    return np.array([float("nan") if found[question.id] is None else found[question.id] for question in questions])


def _quantities(
    bout: Bout, games: winrate.Array, averaged: winrate.Array, agreed: winrate.Array
) -> list[dict[str, float]]:
    """What is kept of each question; what has no verdict is left out.

    ``game_J_T_O``: 1, 1/2 or 0 for the variant by juror J in turn T, O = 1 with the variant shown first.
    """
    found = []
    turns = len(bout.questions[0].turns)
    for question, of, score, voted in zip(bout.questions, games, averaged, agreed, strict=True):
        kept = {"score": float(score), "conservative": float(voted)}
        by_turn = of.reshape(turns, -1, 2)
        for turn, jurors in enumerate(by_turn, start=1):
            kept[f"score_{turn}"] = float(winrate.averaged(jurors[None])[0])
            for juror, orders in enumerate(jurors, start=1):
                for order, value in enumerate(orders, start=1):
                    kept[f"game_{juror}_{turn}_{order}"] = float(value)
        for name, side in (("length", bout.ours), ("length_against", bout.theirs)):
            kept[name] = float(sum(map(len, side[question.id].turns))) if question.id in side else 0.0
        found.append({name: value for name, value in kept.items() if value == value})
    return found


def _gate(
    bout: Bout,
    matches: Sequence[PanelMatch],
    estimates: dict[str, Estimate],
    quantities: list[dict[str, float]],
) -> dict[str, str]:
    """Adds the language-gated rate; the notes about it."""
    wrong: Counter[str] = Counter()
    spared = [question.id for question in bout.questions if question.id in KOMT_EXEMPT]
    found = []
    try:
        for match in matches:
            question = match.question
            flags = [
                question.id not in spared and _language(question, side, match.turn).wrong
                for side in (bout.ours, bout.theirs)
            ]
            wrong.update(name for name, flag in zip(("ours", "theirs"), flags, strict=True) if flag)
            found.append(PanelMatch(tuple(gated(juror, *flags) for juror in match.jurors)))
    except JudgingError as error:
        return {"language_gate": str(error)}
    scores = winrate.averaged(games_of(bout.questions, found))
    estimates["win_rate_gated"] = winrate.interval(winrate.rate(scores))
    for of, score in zip(quantities, scores, strict=True):
        if score == score:
            of["gated"] = float(score)
    told = (
        f"{wrong['ours']} of the variant's and {wrong['theirs']} of its opponent's {len(matches)} answers are in the "
    )
    told += "wrong language"
    return {"language_gate": told + (f"; exempt: {', '.join(spared)}" if spared else "")}


def _language(question: Question, side: Mapping[str, Conversation], turn: int) -> AnswerLanguage:
    answers = side[question.id].turns if question.id in side else ()
    answer = answers[turn - 1] if len(answers) >= turn else ""
    return language_of(answer, question.language, "\n".join(question.turns[:turn]))


def _at_equal_length(
    averaged: winrate.Array, quantities: list[dict[str, float]], estimates: dict[str, Estimate]
) -> dict[str, str]:
    """Adds the rate at equal length where it can be had; a note why not where it cannot."""
    kept = [(score, of) for score, of in zip(averaged, quantities, strict=True) if score == score]
    longer = np.array([of["length"] - of["length_against"] for _, of in kept])
    names = [str(number) for number in range(len(kept))]
    duels = Duels(np.array([score for score, _ in kept]), ["variant"] * len(kept), ["judge"] * len(kept), names, longer)
    if reason := why_not(duels, "variant"):
        return {"length_control": reason.removeprefix("variant: ")}
    rates, slopes = at_equal_length(duels)
    estimates["win_rate_length_controlled"] = rates["variant"]
    return {"length_control": f"characters of both answers; slope per standard deviation {slopes['judge']:.3g}"}


def _reasons(matches: Sequence[PanelMatch], most: int = 3) -> str:
    """The commonest reasons for games without a verdict."""
    found = Counter(game.reason for match in matches for game in match.games if game.reason)
    return "; ".join(f"{count} games: {reason}" for reason, count in found.most_common(most))
