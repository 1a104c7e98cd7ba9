"""Wording that calibration text shares with test text, found by long n-grams and reported: it flatters every method
that is calibrated on it. Thirteen words in a row, or thirty characters in languages written without spaces, are
seldom written twice by chance. A shared style or topic is not found this way.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.passages import Passage

WORDS = 13
CHARACTERS = 30
WHOLE_WORDS, WHOLE_CHARACTERS = 6, 15
"""Of an item, which has many short texts, those of at least so much are looked for."""
EXAMPLES = 3
SPACELESS = ("ja", "zh", "th", "lo", "km", "my", "bo", "yue", "wuu")
"""Languages written without spaces between words."""


@dataclass(frozen=True)
class Overlap:
    """What the calibration texts of one language share with its test passages."""

    language: str
    passages: int
    """Test passages, or items, looked at."""
    shared: int
    """Those of them that hold at least one n-gram of the calibration text."""
    n: int
    unit: str
    """``words`` or ``characters``."""
    examples: tuple[str, ...]
    """Up to three shared n-grams, as ``group: wording``."""
    what: str = "passages"
    """``passages`` or ``items``."""

    @property
    def sentence(self) -> str:
        """For readers."""
        if not self.shared:
            return f"{self.language}: no {self.n} {self.unit} in a row are shared by calibration and test text."
        return (
            f"{self.language}: {self.shared} of {self.passages} test {self.what} share {self.n} {self.unit} or more "
            f"in a row{', or a whole text,' * (self.what == 'items')} with the calibration text, such as "
            f"{self.examples[0]!r}."
        )


def overlap(
    calibration: Iterable[Passage],
    test: Sequence[Passage],
    words: int = WORDS,
    characters: int = CHARACTERS,
    what: str = "passages",
) -> tuple[Overlap, ...]:
    """One Overlap for each language that both texts have, in the order of the test text.

    Case, punctuation and spacing are ignored. A test passage shorter than the n-gram is looked for as a whole. Passages
    of one group count once: they are texts of one item.
    """
    by_language: dict[str, list[list[str]]] = {}
    for item in calibration:
        by_language.setdefault(item.language, []).append(_units(item))
    found = []
    for language in dict.fromkeys(item.language for item in test):
        if language in by_language:
            n = characters if _spaceless(language) else words
            passages = [item for item in test if item.language == language]
            found.append(replace(_compare(language, by_language[language], passages, n), what=what))
    return tuple(found)


def _compare(language: str, texts: Sequence[Sequence[str]], passages: Sequence[Passage], n: int) -> Overlap:
    known: dict[int, set[tuple[str, ...]]] = {}
    between = "" if _spaceless(language) else " "
    examples: dict[str, str] = {}
    for item in passages:
        units = _units(item)
        size = min(n, len(units))
        if not size:
            continue
        if size not in known:
            known[size] = {gram for text in texts for gram in _grams(text, size)}
        hit = next((gram for gram in _grams(units, size) if gram in known[size]), None)
        if hit is not None:
            examples.setdefault(item.group, f"{item.group}: {between.join(hit)}")
    unit = "characters" if _spaceless(language) else "words"
    groups = {item.group for item in passages}
    return Overlap(language, len(groups), len(examples), n, unit, tuple(examples.values())[:EXAMPLES])


def long_enough(text: Passage) -> bool:
    """Whether a text of an item says so much that finding it whole means something."""
    return len(_units(text)) >= (WHOLE_CHARACTERS if _spaceless(text.language) else WHOLE_WORDS)


def _spaceless(language: str) -> bool:
    return language.split("-")[0] in SPACELESS


def _units(item: Passage) -> list[str]:
    """Words, or characters, without case and punctuation.

    Combining marks belong to the word: without them Thai or Hindi would fall into pieces.
    """
    text = unicodedata.normalize("NFKC", item.text).casefold()
    if _spaceless(item.language):
        return [c for c in text if c.isalnum() or unicodedata.category(c).startswith("M")]
    kept = "".join(c if c.isalnum() or unicodedata.category(c).startswith("M") else " " for c in text)
    return re.findall(r"\S+", kept)


def _grams(units: Sequence[str], n: int) -> Iterable[tuple[str, ...]]:
    return (tuple(units[start : start + n]) for start in range(len(units) - n + 1))
