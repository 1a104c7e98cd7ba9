"""Pairs of answers that people have judged, before the judge of a phase: how often it says what they said."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.jury import Jury, forecast, said
from harness.progress import Reporter
from harness.specs import JudgingSpec
from judges.api import ask_all
from judges.duel import Duel, Judge, Preference, games
from judges.llmbar import labelled_question
from judges.problems import JudgingError
from judges.questions import Question
from results.cell import digest_of
from results.estimate import Estimate
from results.files import replace
from results.games import FOLDER
from results.reliability import LABELS, agreement

_LABELS = {1: 1.0, 2: 0.0, 0: 0.5, "1": 1.0, "2": 0.0, "tie": 0.5}
_SCORES = {Preference.FIRST: 1.0, Preference.TIE: 0.5, Preference.SECOND: 0.0}


@dataclass(frozen=True)
class Labelled:
    """One pair that people have judged."""

    question: Question
    first: str
    second: str
    score: float
    """What people said for the first answer: 1, ½ or 0."""


def read_labelled(path: Path) -> tuple[Labelled, ...]:
    """A JSON list, or JSON Lines, of {input, output_1, output_2, label, language?} as in LLMBar; label: 1, 2 or tie.

    Raises JudgingError for a file that is none.
    """
    try:
        text = path.read_text(encoding="utf-8")
        rows = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines()]
    except OSError as error:
        raise JudgingError(f"The labelled pairs {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise JudgingError(f"{path} is neither a JSON list nor JSON Lines: {error}.") from None
    return tuple(_labelled(row, number, path) for number, row in enumerate(rows, start=1))


def _labelled(row: Any, number: int, path: Path) -> Labelled:
    try:
        asked, first, second = (str(row[name]) for name in ("input", "output_1", "output_2"))
        score = _LABELS[row["label"]]
        language = str(row.get("language", "en"))
    except (KeyError, TypeError, AttributeError) as error:
        raise JudgingError(
            f"{path}, pair {number}, has no {error}; a pair has input, output_1, output_2 and a label of 1, 2 or tie."
        ) from None
    return Labelled(labelled_question(asked, number, language), first, second, score)


def shown(pairs: Sequence[Labelled], jury: Jury) -> Iterator[tuple[Judge, Duel]]:
    """Every pair in both orders before every juror."""
    for pair in pairs:
        for duel in games(pair.question, 1, (pair.first,), (pair.second,)):
            for judge in jury.judges(pair.question.language):
                yield judge, duel


@dataclass(frozen=True)
class Agreement:
    """What a judge and people have in common in one language, in shares of the labelled pairs."""

    judge: str
    language: str
    average: Estimate
    """Over both orders, and jurors."""
    given: float
    """With the answers in the order of the file."""
    swapped: float
    both: float
    """What people said in both orders."""
    same: float
    """One verdict in both orders, whatever people said."""

    @property
    def sentence(self) -> str:
        low, high = self.average.low, self.average.high
        bounds = "" if low is None or high is None else f" [{max(0.0, low):.1%}, {min(1.0, high):.1%}]"
        return (
            f"{self.judge} and people agree on {self.average.value:.1%}{bounds} of {self.average.clusters} labelled "
            f"{self.language} pairs: {self.given:.1%} in the given order, {self.swapped:.1%} swapped, {self.both:.1%} "
            f"in both; the order changes {1 - self.same:.1%} of the verdicts"
        )


def compare(pairs: Sequence[Labelled], jury: Jury, run: Path, concurrency: int) -> list[Agreement]:
    """Agreement with people by language; the averages are kept beside the judgements, for the reliability card."""
    verdicts = ask_all(shown(pairs, jury), concurrency)
    jurors = len(jury.jurors)
    games: dict[str, list[tuple[list[float], list[float], float]]] = {}
    for pair in pairs:
        there, back = ([_SCORES.get(next(verdicts).preference) for _ in range(jurors)] for _ in range(2))
        given = [float("nan") if score is None else score for score in there]
        swapped = [float("nan") if score is None else 1 - score for score in back]
        games.setdefault(pair.question.language, []).append((given, swapped, pair.score))
    path = run / FOLDER / LABELS
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = []
    for language, of in games.items():
        found.append(_agreement(jury.name, language, of))
        kept[digest_of([jury.identity(language), language])] = found[-1].average.to_json()
    replace(path, json.dumps(kept, indent=1).encode())
    return found


def _agreement(judge: str, language: str, of: Sequence[tuple[list[float], list[float], float]]) -> Agreement:
    """``of``: (the jurors' scores in the given order, swapped and turned back, the label) of each pair."""
    looks = [(a, b, label) for given, swapped, label in of for a, b in zip(given, swapped, strict=True)]
    return Agreement(
        judge,
        language,
        agreement([given + swapped for given, swapped, _ in of], [label for *_, label in of]),
        *(sum(said) / len(looks) for said in zip(*(_shares(*look) for look in looks), strict=True)),
    )


def _shares(a: float, b: float, label: float) -> tuple[bool, bool, bool, bool]:
    return a == label, b == label, a == label == b, a == b


def agree(
    path: Path, spec: JudgingSpec, cache: Path, reporter: Reporter, limit: int | None = None, dry: bool = False
) -> list[Agreement]:
    """A judge's agreement with people without any run: of the first ``limit`` pairs of a file of labels.

    Verdicts are kept in the cache. Raises UserError and JudgingError as judging does, and BudgetReached.
    """
    pairs = read_labelled(path)[:limit]
    folder = cache / "labelled"
    with Jury(spec, folder, cache, reporter.phase) as jury:
        reporter.notice(said(forecast(shown(pairs, jury))))
        if dry:
            return []
        jury.ask_in_batches(shown(pairs, jury))
        found = compare(pairs, jury, folder, spec.concurrency)
        if spent := jury.spent():
            reporter.notice(spent)
    return found
