"""A passage: the unit that is scored whole, resampled and, where texts are parallel, paired between languages."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.languages import LANGUAGES


@dataclass(frozen=True)
class Passage:
    """One document in one language. Two passages are the same text exactly if their ids are equal."""

    id: str
    """BLAKE2 of the NFC text, 16 hex digits: differs between languages."""
    group: str
    """Alignment id: equal in all languages exactly if the texts say the same."""
    source_language: str | None
    """The language it was first written in, where that is known."""
    text: str
    """NFC."""
    sentences: int
    """Aligned sentences, equal in all languages of the group. 1 where nobody counted: the document is the unit."""
    language: str


def passage(text: str, group: str, language: str, source_language: str | None = None, sentences: int = 1) -> Passage:
    """Make a Passage of raw text: NFC, then the hash of what is left.

    >>> passage("e\\u0301", "1", "fr").id == passage("é", "2", "fr").id
    True
    """
    text = unicodedata.normalize("NFC", text)
    digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return Passage(digest, group, source_language, text, sentences, language)


def fingerprint(passages: Iterable[Passage]) -> str:
    """Identity of a text as read: BLAKE2 over ids, groups and sentence counts in their order, 32 hex digits."""
    state = hashlib.blake2b(digest_size=16)
    for item in passages:
        state.update(f"{item.language}\t{item.group}\t{item.id}\t{item.sentences}\n".encode())
    return state.hexdigest()


def select(passages: Sequence[Passage], limit: int | None, per_source: int | None = None) -> tuple[Passage, ...]:
    """The first ``limit`` passages, source languages taking turns; the same groups in every language.

    With the bundled texts a limit of 3 gives passages first written in three languages, and 16 two of each of eight.
    Where the source language is unknown the order stays as it is. ``per_source`` keeps at most so many of each.
    """
    turns: dict[str | None, list[Passage]] = {}
    for item in passages:
        turns.setdefault(item.source_language, []).append(item)
    order = {code: place for place, code in enumerate(LANGUAGES)}
    sources = sorted(turns, key=lambda code: (order.get(code or "", len(order)), code or ""))
    queues = [turns[code][:per_source] for code in sources]
    longest = max(map(len, queues), default=0)
    taken = [queue[place] for place in range(longest) for queue in queues if place < len(queue)]
    return tuple(taken[:limit])
