"""The reader of answers that flipped: for every variant, task and language the items whose answer changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports import reader as packed
from reports.gathered import Gathered
from reports.reader import CHUNK, pack
from reports.section import Reader, Section
from reports.words import Words, tagged_name
from results.answers import AnswerChange
from results.flips import Turned

FILTERS = ("language", "task", "direction", "variant")
MOST = 50_000
"""Entries of a page, some 1.6 MB of it: beyond, those whose margin moved least are left out."""

Entry = tuple[AnswerChange, Turned]


def flips(found: Gathered, words: Words) -> Section | None:
    """The section, or None for a run in which no answer changed."""
    every = [(change, turned) for change in found.claims.answers for turned in change.flips.turned]
    if not every:
        return None
    kept = most_moved(every)
    cut = [words.say("flips_cut", kept=f"{len(kept):,}", all=f"{len(every):,}")] if len(kept) < len(every) else []
    return Section("flips", words["flips"], paragraphs=[words["flips_note"], *cut], reader=reader(kept, words))


def most_moved(every: Sequence[Entry], most: int = MOST) -> list[Entry]:
    """At most so many entries, each variant, task and language in its place, the largest changes of margin first."""
    chosen = sorted(range(len(every)), key=lambda i: -_moved(every[i]))[:most]
    order: dict[int, int] = {}
    for i, (change, _) in enumerate(every):
        order.setdefault(id(change), i)
    return [every[i] for i in sorted(chosen, key=lambda i: (order[id(every[i][0])], -_moved(every[i])))]


def reader(entries: Sequence[Entry], words: Words) -> Reader:
    rows = [
        (
            {"language": change.language, "task": change.task, "direction": turned.way, "variant": change.label},
            turned.group,
            _rounded(_change(turned)),
        )
        for change, turned in entries
    ]

    def shown(name: str, value: str) -> str:
        if name == "language":
            return tagged_name(value)
        return words[f"flip_{value}"] if name == "direction" else value

    index = packed.index(rows, FILTERS, shown, words, "flip_reader_")
    told = [_told(turned) for _, turned in entries]
    chunks = [{"texts": [], "entries": told[i : i + CHUNK]} for i in range(0, len(told), CHUNK)]
    return Reader("flips", pack(index), tuple(map(pack, chunks)))


def _told(turned: Turned) -> list[Any]:
    choices = (turned.choices, turned.gold, turned.was, turned.now)
    return [turned.item, *choices, _rounded(turned.margin_was), _rounded(turned.margin_now)]


def _moved(entry: Entry) -> float:
    return abs(_change(entry[1]) or 0.0)


def _change(turned: Turned) -> float | None:
    if turned.margin_was is None or turned.margin_now is None:
        return None
    return turned.margin_now - turned.margin_was


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
