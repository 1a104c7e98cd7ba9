"""The games behind a pairwise record: who won, and under which key the judge's own words are kept. For readers.

    judgements/<judge>.jsonl                    the judge's words, one line for each request
    judgements/games/<2 hex>/<cell key>.jsonl   one line for each game: question, turn, juror, order, verdict, request
    judgements/asked/<digest>.jsonl             the questions of all cells whose text is that digest

Numbers are computed from samples, never from here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from results.files import replace

FOLDER = "judgements"


@dataclass(frozen=True)
class Game:
    """One look of one juror at two answers to a turn."""

    question: str
    turn: int
    juror: int
    """From 1, in the order of the panel."""
    order: int
    """1: the variant's answer was shown first; 2: second."""
    verdict: float | None
    """1 the variant won, ½ a tie, 0 it lost; None: no verdict."""
    reason: str
    """Why there is no verdict; empty where there is one."""
    request: str
    """The key of the judge's words; empty where nothing was asked."""


@dataclass(frozen=True)
class Asked:
    """A question as it was asked and judged."""

    question: str
    """Its id in its set, as games and conversations have it."""
    sample: str
    """The id of its sample."""
    category: str
    turns: tuple[str, ...]


def write_games(run: Path, cell: str, games: Iterable[Game]) -> None:
    """The games of one cell, by its key: the whole file by temporary and replace."""
    lines = (json.dumps(asdict(game), ensure_ascii=False, separators=(",", ":")) + "\n" for game in games)
    replace(_path(run, cell), "".join(lines).encode("utf-8", "backslashreplace"))


def read_games(run: Path, cell: str) -> list[Game]:
    """The games of one cell; none where they were not kept."""
    path = _path(run, cell)
    if not path.is_file():
        return []
    return [Game(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def write_asked(run: Path, text: str, questions: Iterable[Asked]) -> None:
    """The questions whose digest, a cell's ``text``, is given; kept once for all cells that share them."""
    path = run / FOLDER / "asked" / f"{text}.jsonl"
    if not path.is_file():
        lines = (json.dumps(asdict(one), ensure_ascii=False, separators=(",", ":")) + "\n" for one in questions)
        replace(path, "".join(lines).encode("utf-8", "backslashreplace"))


def read_asked(run: Path, text: str) -> list[Asked]:
    """The questions of a cell by its ``text``, in order; none where they were not kept."""
    path = run / FOLDER / "asked" / f"{text}.jsonl"
    if not path.is_file():
        return []
    kept = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Asked(**{**one, "turns": tuple(one["turns"])}) for one in kept]


def read_words(run: Path, requests: Iterable[str]) -> dict[str, str]:
    """Request -> the judge's message, of those that the run's judgements hold; one pass, and nothing else is held.

    A judge that says nothing but how likely each verdict is has that as its words: ``A 0.23 · B 0.02 · C 0.02``.
    """
    wanted = set(requests)
    found: dict[str, str] = {}
    for path in sorted((run / FOLDER).glob("*.jsonl")):
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if not line.endswith("\n") or (kept := json.loads(line)).get("key") not in wanted:
                    continue
                if "reply" in kept:
                    found.setdefault(kept["key"], kept["reply"]["message"])
                elif "logprobs" in kept:
                    found.setdefault(kept["key"], _likelihoods(kept["logprobs"]))
    return found


def _likelihoods(logprobs: Iterable[float]) -> str:
    """Of the labels A, B and C, a tie, as next tokens."""
    return " · ".join(f"{label} {math.exp(value):.2g}" for label, value in zip("ABC", logprobs, strict=True))


def _path(run: Path, cell: str) -> Path:
    return run / FOLDER / "games" / cell[:2] / f"{cell}.jsonl"
