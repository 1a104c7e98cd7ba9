"""Judged pairs of answers with all that a reader wants beside them: question, both answers, games and outcome.

For readers only: numbers are computed from samples, in `results.judged`. A variant against itself is left out, for
both its sides show the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from results.cell import canonical_json
from results.conversation import Conversation
from results.estimate import Sample
from results.games import Asked, Game, read_asked, read_games, read_words
from results.judged import EVEN, judge_name, opponent
from results.labels import labels
from results.record import Record
from results.reliability import TASK, is_aa
from results.store import Run

Side = tuple[Mapping[str, Conversation], Mapping[str, Sample]]
"""Question id -> answers; the same -> what was told of them, where the samples are in the same order."""
Outcome = Literal["win", "tie", "loss", "unread"]
Wrong = Literal["ours", "theirs", "both", "neither", "unknown"]


@dataclass(frozen=True)
class Duel:
    """One variant's answers to one question beside its opponent's, as one judge sees them."""

    variant: str
    against: str
    judge: str
    language: str
    question: str
    """Its id."""
    category: str
    """Empty where the run does not hold the questions."""
    asked: tuple[str, ...]
    """The turns' texts; empty where the run does not hold them."""
    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    wrong: Wrong
    """Which side answered in the wrong language, in one turn at least."""
    score: float | None
    """Mean over turns and orders; None where no turn has a verdict in both orders."""
    games: tuple[Game, ...]

    @property
    def outcome(self) -> Outcome:
        if self.score is None:
            return "unread"
        return "win" if self.score > EVEN else "loss" if self.score < EVEN else "tie"


def duels(run: Run) -> list[Duel]:
    """All of a run's, with those of one language and question together, so that their shared texts are, too."""
    records = run.records()
    named = labels(record.cell.variant for record in records)
    answers = {_answers_key(r): r for r in records if r.cell.task == "answers" and r.status == "ok"}
    found: list[tuple[tuple[int, int, int], Duel]] = []
    languages = list(dict.fromkeys(record.cell.language for record in records))
    sides: dict[str, Side] = {}  # one opponent meets many
    judged = (record for record in records if record.cell.task == TASK and record.status in ("ok", "failed"))
    for place, record in enumerate(judged):
        other = run.record(record.cell.reference or "")
        games = read_games(run.folder, record.cell.key)
        if other is None or not games or is_aa(record, run):
            continue
        ours = answers.get(_answers_key(record, other))
        for one in (ours, other):
            if one is not None and one.cell.key not in sides:
                sides[one.cell.key] = _side(run, one)
        both = [sides[one.cell.key] if one else _NOBODY for one in (ours, other)]
        asked = {one.question: one for one in read_asked(run.folder, record.cell.text)}
        scores = {one.id: one.quantities.get("score") for one in run.samples(record.cell.key)}
        by_question: dict[str, list[Game]] = {}
        for game in games:
            by_question.setdefault(game.question, []).append(game)
        who = (named[record.cell.variant.key], opponent(record, run, named), judge_name(record), record.cell.language)
        language = languages.index(record.cell.language)
        for number, (question, of) in enumerate(by_question.items()):
            duel = _duel(who, question, asked.get(question), both, scores, of)
            found.append(((language, number, place), duel))
    return [duel for _, duel in sorted(found, key=lambda one: one[0])]


def words(run: Run, of: Sequence[Duel]) -> dict[str, str]:
    """Request -> what the judge said, for all games of these duels."""
    return read_words(run.folder, (game.request for duel in of for game in duel.games if game.request))


_NOBODY: Side = ({}, {})


def _side(run: Run, record: Record) -> Side:
    conversations, samples = run.conversations(record.cell.key), run.samples(record.cell.key)
    told = dict(zip((one.question for one in conversations), samples, strict=False))
    return {one.question: one for one in conversations}, told if len(samples) == len(conversations) else {}


def _duel(
    who: tuple[str, str, str, str],
    question: str,
    asked: Asked | None,
    sides: Sequence[Side],
    scores: Mapping[str, float | None],
    games: Sequence[Game],
) -> Duel:
    turns = [side[0][question].turns if question in side[0] else () for side in sides]
    wrong = [_is_wrong(side[1].get(question)) for side in sides]
    return Duel(
        *who,
        question=question,
        category=asked.category if asked else "",
        asked=asked.turns if asked else (),
        ours=turns[0],
        theirs=turns[1],
        wrong=_wrong(*wrong),
        score=scores.get(asked.sample) if asked else _from_games(games),
        games=tuple(games),
    )


def _is_wrong(sample: Sample | None) -> bool | None:
    if sample is None or not sample.quantities.get("rated"):
        return None
    return sample.quantities.get("wrong_language", 0.0) > 0


def _wrong(ours: bool | None, theirs: bool | None) -> Wrong:
    if ours and theirs:
        return "both"
    if ours or theirs:
        return "ours" if ours else "theirs"
    return "unknown" if ours is None or theirs is None else "neither"


def _from_games(games: Sequence[Game]) -> float | None:
    """The mean over the turns that have a verdict in every game."""
    turns: dict[int, list[float | None]] = {}
    for game in games:
        turns.setdefault(game.turn, []).append(game.verdict)
    whole = [[v for v in of if v is not None] for of in turns.values() if None not in of]
    return sum(sum(of) / len(of) for of in whole) / len(whole) if whole else None


def _answers_key(record: Record, of: Record | None = None) -> tuple[str | int | None, ...]:
    """What finds the answers cell of a variant: its own, or those that met the answers ``of`` an opponent."""
    cell = record.cell
    asked = (of or record).cell
    return (cell.variant.key, cell.language, cell.text, asked.limit, canonical_json(dict(asked.params)))
