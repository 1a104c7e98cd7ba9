"""What a page unfolds on demand, one file holding thousands: an index to filter and list by, and packed chunks.

Everything is JSON in gzip in base64: it reaches the page as data, and its script (templates/reader.js) sets it as text.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reports.words import TEXT, Words

CHUNK = 50
"""Entries to a chunk: of answers some 100 KB of text, which a page unfolds in a blink."""


def index(
    rows: Sequence[tuple[Mapping[str, str], str, float | None]],
    filters: Sequence[str],
    shown: Callable[[str, str], str],
    words: Words,
    own: str,
) -> dict[str, Any]:
    """The page's words, and for each row the places of its values in the lists of their filters; name and number.

    ``rows``: a value for each of ``filters``, and a name and a number beside. ``shown``: filter and value -> words.
    ``own``: what the reader's own words begin with; they take the place of ``reader_...``.
    """
    places: dict[str, dict[str, int]] = {name: {} for name in filters}
    listed = [
        [*(places[name].setdefault(values[name], len(places[name])) for name in filters), name, number]
        for values, name, number in rows
    ]
    told = {key.removeprefix(start): words[key] for start in ("reader_", own) for key in TEXT if key.startswith(start)}
    return {
        "chunk": CHUNK,
        "filters": [
            {"name": name, "title": words[f"by_{name}"], "values": [shown(name, value) for value in places[name]]}
            for name in filters
        ],
        "languages": list(places["language"]),
        "rows": listed,
        "words": told,
    }


def pack(value: Any) -> str:
    """JSON in gzip in base64; the same value gives the same text."""
    told = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return base64.b64encode(gzip.compress(told, 6, mtime=0)).decode()


def unpack(packed: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(packed)))
