"""Corpora that are fetched from the Hugging Face hub by a short name.

| name | dataset | test | calibration | a document |
| --- | --- | --- | --- | --- |
| wikitext2 | Salesforce/wikitext, wikitext-2-raw-v1 | test | train | an article |
| ptb | ptb-text-only/ptb_text_only | test | train | fifty sentences |
| c4 | allenai/c4, one configuration per language | validation | train | a web page |
| wikipedia | wikimedia/wikipedia, 20231101.<language> | train, by a hash of the article's id | the same | an article |

wikitext2's articles joined by blank lines give back, character for character, the text that published perplexities
are computed on: all rows joined by a blank line. ``wikitext2:FILE`` reads the same from a raw file, without the hub.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from harness.filetexts import split_of
from harness.passages import Passage, passage
from harness.problems import UserError, listed

DOCUMENTS = {"test": 256, "calibration": 2048}
"""At most so many documents are read of corpora too large to fetch whole (c4, wikipedia)."""
SENTENCES = 50
"""ptb has no document boundaries: so many sentences make one of ours."""

Row = Mapping[str, Any]
Document = tuple[str, str, int]
"""id, text, sentences (1 where nobody counted)."""


@dataclass(frozen=True)
class _Dataset:
    path: str
    splits: Mapping[str, str]
    """Our split -> theirs."""
    documents: Callable[[Iterable[Row]], Iterator[Document]]
    config: str | None = None
    """May hold ``{language}``."""
    languages: tuple[str, ...] = ()
    """The only ones it has; empty for a corpus of many languages."""
    revision: str | None = None
    streaming: bool = False
    divided: bool = False
    """It has one split only, which we divide by a hash of ids."""


def articles(rows: Iterable[Row]) -> Iterator[Document]:
    """wikitext's rows (one line each, "" for a blank one) as articles: a new one at each heading `` = Title = ``."""
    lines: list[str] = []
    number = 0
    for row in rows:
        if re.fullmatch(r" = [^=].*[^=] = \n?", row["text"]) and any(line.strip() for line in lines):
            number += 1
            yield str(number), "\n\n".join(lines), 1
            lines = []
        lines.append(row["text"])
    if any(line.strip() for line in lines):
        yield str(number + 1), "\n\n".join(lines), 1


def _sentences(rows: Iterable[Row]) -> Iterator[Document]:
    """ptb's rows, ``SENTENCES`` to a document, joined as the published protocol joins them."""
    every = iter(row["sentence"] for row in rows)
    number = 0
    while block := list(islice(every, SENTENCES)):
        number += 1
        yield str(number), "\n\n".join(block), len(block)


def _pages(rows: Iterable[Row]) -> Iterator[Document]:
    for number, row in enumerate(rows, 1):
        if row["text"].strip():
            yield str(row.get("id", number)), row["text"], 1


DATASETS = {
    "wikitext2": _Dataset(
        "Salesforce/wikitext",
        {"test": "test", "calibration": "train"},
        articles,
        config="wikitext-2-raw-v1",
        languages=("en",),
    ),
    # The dataset is a script, which `datasets` no longer runs; the hub keeps a converted copy on this branch.
    "ptb": _Dataset(
        "ptb-text-only/ptb_text_only",
        {"test": "test", "calibration": "train"},
        _sentences,
        languages=("en",),
        revision="refs/convert/parquet",
    ),
    "c4": _Dataset(
        "allenai/c4", {"test": "validation", "calibration": "train"}, _pages, config="{language}", streaming=True
    ),
    "wikipedia": _Dataset(
        "wikimedia/wikipedia",
        {"test": "train", "calibration": "train"},
        _pages,
        config="20231101.{language}",
        streaming=True,
        divided=True,
    ),
}


def known(name: str) -> bool:
    """Whether ``name`` is one of ours, perhaps with a colon and one language (c4, wikipedia) or a file (wikitext2)."""
    base, colon, rest = name.partition(":")
    return base in DATASETS and (not colon or (base != "ptb" and bool(rest)))


def check(name: str, languages: Sequence[str]) -> list[str]:
    """See `harness.corpora.check_corpus`."""
    base, _, rest = name.partition(":")
    if base == "wikitext2" and rest and not Path(rest).expanduser().is_file():
        return [f"There is no file '{rest}', which '{name}' names."]
    one = bool(rest) and not DATASETS[base].languages
    has = (rest,) if one else DATASETS[base].languages
    missing = [code for code in languages if has and code not in has]
    if not missing:
        return []
    more = f" '{base}' alone takes each language from its own part." if one else ""
    return [f"The corpus '{name}' has no {listed(missing)}; it has {listed(has)}.{more}"]


@lru_cache(maxsize=32)
def load(name: str, language: str, split: str, shared: bool) -> tuple[Passage, ...]:
    """See `harness.corpora.load_corpus`. Kept in memory: each draw of a sweep asks again."""
    base, _, rest = name.partition(":")
    dataset = DATASETS[base]
    if base == "wikitext2" and rest:
        # As the dataset on the hub is made of the file: a blank line, even one with a space, is an empty row.
        raw = Path(rest).expanduser().read_text(encoding="utf-8").splitlines(keepends=True)
        found = articles({"text": line if line.strip() else ""} for line in raw)
        if shared:
            found = (item for item in found if split_of(item[0]) == split)
        limit = None
    else:
        found = dataset.documents(_rows(name, dataset, language, split))
        if dataset.divided:
            # Always by the hash, even if the other purpose uses another corpus: results then share one test text.
            found = (item for item in found if split_of(item[0]) == split)
        limit = DOCUMENTS[split] if dataset.streaming else None
    return tuple(
        passage(text, f"{language}/{id}", language, sentences=count) for id, text, count in _read(name, found, limit)
    )


def _rows(name: str, dataset: _Dataset, language: str, split: str) -> Iterable[Row]:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise UserError(f"'{name}' is fetched with the package datasets: pip install datasets.") from error
    config = dataset.config.format(language=language) if dataset.config else None
    try:
        return load_dataset(
            dataset.path, config, split=dataset.splits[split], revision=dataset.revision, streaming=dataset.streaming
        )
    except Exception as error:
        raise _unreachable(name, dataset, config, error) from error


def _read(name: str, found: Iterator[Document], limit: int | None) -> list[Document]:
    """Streams fail while they are read."""
    try:
        return list(islice(found, limit))
    except Exception as error:
        raise _unreachable(name, DATASETS[name.partition(":")[0]], None, error) from error


def _unreachable(name: str, dataset: _Dataset, config: str | None, error: Exception) -> UserError:
    """Whatever the hub's client raises (it has no one base class), a sentence with the next step."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    place = f"{dataset.path}, {config}" if config else dataset.path
    return UserError(
        f"The corpus '{name}' could not be fetched ({place}): {reason}. Connect to the hub and try again, "
        "or name texts of your own: file:texts/{language}.txt, or 'bundled' (docs/texts.md)."
    )
