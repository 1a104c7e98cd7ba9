"""The side-by-side reader of judged answers: a chunk tells the texts of duels that stand together, each text once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports import reader as packed
from reports.reader import CHUNK, pack
from reports.section import Reader, Section
from reports.words import TEXT, Words, tagged_name
from results import duels as judged
from results.duels import Duel
from results.store import Run

FILTERS = ("language", "category", "outcome", "wrong", "variant", "against", "judge")
"""What the list is filtered by, in this order; what has one value only is not offered."""


def duels(run: Run, words: Words) -> Section | None:
    """The section, or None for a run in which nothing was judged."""
    found = judged.duels(run)
    if not found:
        return None
    return Section(
        "duels", words["duels"], paragraphs=[words["duels_note"]], reader=reader(found, judged.words(run, found), words)
    )


def reader(found: Sequence[Duel], said: Mapping[str, str], words: Words) -> Reader:
    """``said``: request -> the judge's words."""
    chunks = tuple(pack(chunk(found[i : i + CHUNK], said)) for i in range(0, len(found), CHUNK))
    return Reader("duels", pack(index(found, words)), chunks)


def index(found: Sequence[Duel], words: Words) -> dict[str, Any]:
    """Of each duel the values to filter by, the question's id and the score."""
    rows = [({name: getattr(duel, name) for name in FILTERS}, duel.question, duel.score) for duel in found]
    return packed.index(rows, FILTERS, lambda name, value: _shown(name, value, words), words, "duel_reader_")


def chunk(found: Sequence[Duel], said: Mapping[str, str]) -> dict[str, Any]:
    """``texts``, each once; ``entries`` with the places of theirs: asked, ours, theirs, and games (turn, juror, order,
    verdict, words)."""
    places: dict[str, int] = {}

    def text(value: str) -> int:
        return places.setdefault(value, len(places))

    told = [
        {
            "asked": [text(turn) for turn in duel.asked],
            "ours": [text(turn) for turn in duel.ours],
            "theirs": [text(turn) for turn in duel.theirs],
            "games": [
                [game.turn, game.juror, game.order, game.verdict, text(said.get(game.request, "") or game.reason)]
                for game in duel.games
            ],
        }
        for duel in found
    ]
    return {"texts": list(places), "entries": told}


def _shown(name: str, value: str, words: Words) -> str:
    if name == "language":
        return tagged_name(value)
    if name == "category":
        return words[f"category_{value}"] if f"category_{value}" in TEXT else value or words["category_unknown"]
    if name in ("outcome", "wrong"):
        return words[f"duel_is_{value}" if name == "outcome" else f"wrong_{value}"]
    return value
