"""The side-by-side reader of judged answers, for one file that holds thousands: an index, and texts in packed chunks.

The index tells each duel's values to filter and list by; a chunk tells the texts of duels that stand together in the
list, each text once, and is unfolded by the page only when one of them is read. Everything is JSON in gzip in base64:
it reaches the page as data, and its script sets it as text.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

from reports.section import Reader, Section
from reports.words import TEXT, Words, tagged_name
from results import duels as judged
from results.duels import Duel
from results.store import Run

CHUNK = 50
"""Duels to a chunk: some 100 KB of text, which a page unfolds in a blink."""
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
    return Reader(pack(index(found, words)), chunks)


def index(found: Sequence[Duel], words: Words) -> dict[str, Any]:
    """The page's words, and for each duel the places of its values in the lists of their filters; id and score."""
    values: dict[str, list[str]] = {name: [] for name in FILTERS}
    places: dict[str, dict[str, int]] = {name: {} for name in FILTERS}
    rows = []
    for duel in found:
        row: list[Any] = []
        for name in FILTERS:
            value = getattr(duel, name)
            place = places[name].setdefault(value, len(places[name]))
            if place == len(values[name]):
                values[name].append(value)
            row.append(place)
        rows.append([*row, duel.question, duel.score])
    shown = {name: [_shown(name, value, words) for value in of] for name, of in values.items()}
    return {
        "chunk": CHUNK,
        "filters": [{"name": name, "title": words[f"by_{name}"], "values": shown[name]} for name in FILTERS],
        "languages": values["language"],
        "rows": rows,
        "words": {key.removeprefix("reader_"): words[key] for key in TEXT if key.startswith("reader_")},
    }


def chunk(found: Sequence[Duel], said: Mapping[str, str]) -> dict[str, Any]:
    """``texts``, each once; ``duels`` with the places of theirs: asked, ours, theirs, and games (turn, juror, order,
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
    return {"texts": list(places), "duels": told}


def pack(value: Any) -> str:
    """JSON in gzip in base64; the same value gives the same text."""
    told = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return base64.b64encode(gzip.compress(told, 6, mtime=0)).decode()


def unpack(packed: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def _shown(name: str, value: str, words: Words) -> str:
    if name == "language":
        return tagged_name(value)
    if name == "category":
        return words[f"category_{value}"] if f"category_{value}" in TEXT else value or words["category_unknown"]
    if name in ("outcome", "wrong"):
        return words[f"duel_is_{value}" if name == "outcome" else f"wrong_{value}"]
    return value
