"""Texts by language and split: the bundled parallel passages, files of one's own, and datasets from the hub by name.

    bundled                          40 test and 40 calibration passages, parallel in eight languages (docs/texts.md)
    file:texts/{language}.jsonl      one JSON object a line: text, and perhaps id, group, split, sentences, language
    file:texts/{language}.txt        documents between blank lines; a document's id is its ordinal
    wikitext2, ptb                   English, one published test set each
    c4, wikipedia, wikipedia:ko      many languages; with a colon, one of them

A test text and a calibration text never come from the same place of a corpus. `bundled`, `wikitext2`, `ptb` and `c4`
have splits of their own; so have files with a `split` in each row, or a `{split}` in their name. Any other corpus that
serves both purposes (`shared`) is divided by a hash of its documents' ids, never by position.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources

from harness import filetexts, hubtexts
from harness.languages import LANGUAGES
from harness.passages import Passage, fingerprint, passage, select
from harness.problems import UserError, listed, unknown

__all__ = ["NAMES", "SPLITS", "Passage", "check_corpus", "fingerprint", "load_corpus", "passage", "select", "shared"]

SPLITS = ("test", "calibration")
NAMES = ("bundled", "c4", "file:PATH", "ptb", "wikipedia", "wikitext2")
"""What a corpus may be called, for messages and help."""


def load_corpus(
    name: str, language: str, split: str, shared: bool = True, parallel: Sequence[str] = ()
) -> tuple[Passage, ...]:
    """The passages of a corpus in one language and split, in a fixed order.

    ``shared``: the corpus also serves the other purpose, so one without splits of its own is divided by a hash of ids;
    False reads the whole of it. ``parallel``: the languages in which a `file:` corpus must have equal ids (bundled
    texts do); without it, files' groups are kept apart by language, so that no gap is computed from unlike texts.
    Raises UserError for an unknown name, a missing file or language, rows that cannot be read, and a hub out of reach.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; it is one of {SPLITS}")
    problems = check_corpus(name, [language])
    if problems:
        raise UserError(problems[0])
    if name == "bundled":
        return _bundled()[split, language]
    if name.startswith("file:"):
        return filetexts.load(name, language, split, shared, parallel)
    return hubtexts.load(name, language, split, shared)


def check_corpus(name: str, languages: Sequence[str]) -> list[str]:
    """What is wrong with asking for this corpus in these languages: sentences for a user, none if it looks well.

    Looks at names and files only; imports nothing heavy and does not reach for the network.
    """
    if name == "bundled":
        missing = [code for code in languages if code not in LANGUAGES]
        return [_lacks(name, missing, LANGUAGES)] if missing else []
    if name.startswith("file:"):
        return filetexts.check(name, languages)
    if hubtexts.known(name):
        return hubtexts.check(name, languages)
    return [unknown("corpus", name, NAMES, "Texts of your own: file:texts/{language}.txt (docs/texts.md).")]


def shared(name: str, others: Iterable[str]) -> bool:
    """Whether a corpus named for one purpose is also named for the other.

    >>> shared("file:a.txt", ["bundled"]), shared("wikipedia:ko", ["wikipedia"])
    (False, True)
    """

    def place(corpus: str) -> str:
        return corpus if corpus.startswith("file:") else corpus.partition(":")[0]

    return place(name) in map(place, others)


def _lacks(name: str, missing: Sequence[str], has: Iterable[str]) -> str:
    return (
        f"The corpus '{name}' has no {listed(missing)}; it has {listed(has)}. "
        "For other languages name texts of your own: file:texts/{language}.txt (docs/texts.md)."
    )


@cache
def _bundled() -> dict[tuple[str, str], tuple[Passage, ...]]:
    """(split, language) -> passages, in the order of the file. Lines with a ``canary`` are no passages."""
    found: dict[tuple[str, str], list[Passage]] = {}
    lines = resources.files("harness").joinpath("data/passages.jsonl").read_text(encoding="utf-8").splitlines()
    for row in map(json.loads, lines):
        if "canary" in row:
            continue
        sentences, code = row["sentences"], row["language"]
        text = LANGUAGES[code].joiner.join(sentences)
        item = passage(text, row["group"], code, row["source_language"], len(sentences))
        found.setdefault((row["split"], code), []).append(item)
    return {key: tuple(items) for key, items in found.items()}
