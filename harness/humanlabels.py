"""Pairs of answers that people have judged, before the judge of a phase: how often it says what they said."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.jury import Jury
from judges.api import ask_all
from judges.duel import Duel, Judge, Preference, games
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
    name = f"labelled-{number}"
    return Labelled(Question(name, name, "general", (asked, asked), None, language), first, second, score)


def shown(pairs: Sequence[Labelled], jury: Jury) -> Iterator[tuple[Judge, Duel]]:
    """Every pair in both orders before every juror."""
    for pair in pairs:
        for duel in games(pair.question, 1, (pair.first,), (pair.second,)):
            for judge in jury.judges(pair.question.language):
                yield judge, duel


def compare(pairs: Sequence[Labelled], jury: Jury, run: Path, concurrency: int) -> dict[str, Estimate]:
    """Language -> agreement with people, averaged over orders and jurors; kept beside the judgements."""
    verdicts = ask_all(shown(pairs, jury), concurrency)
    jurors, found = len(jury.jurors), {}
    scores: dict[str, list[tuple[list[float], float]]] = {}
    for pair in pairs:
        there, back = ([_SCORES.get(next(verdicts).preference) for _ in range(jurors)] for _ in range(2))
        told = [float("nan") if score is None else score for score in there]
        told += [float("nan") if score is None else 1 - score for score in back]
        scores.setdefault(pair.question.language, []).append((told, pair.score))
    path = run / FOLDER / LABELS
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for language, of in scores.items():
        found[language] = agreement([told for told, _ in of], [label for _, label in of])
        kept[digest_of([jury.identity(language), language])] = found[language].to_json()
    replace(path, json.dumps(kept, indent=1).encode())
    return found
