"""Corpora in files of one's own: ``file:texts/{language}.jsonl`` and ``file:texts/{language}.txt``.

A ``.jsonl`` row has ``text`` (or ``sentences``, a list) and may have ``id``, ``group``, ``split``, ``source_language``
and, in a file without ``{language}`` in its name, ``language``. In a ``.txt`` documents stand between blank lines and a
document's id is its ordinal. In a *parallel* ``.txt`` with equally many lines per document in all languages, each
line is one aligned sentence (one sentence a line, as NTREX and FLORES+ come); otherwise the document is the unit.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.languages import joiner
from harness.passages import Passage, passage
from harness.problems import UserError, listed, nearest

KINDS = (".jsonl", ".txt")


@dataclass(frozen=True)
class _Document:
    id: str
    parts: tuple[str, ...]
    """Sentences, or the lines of a text file."""
    sentences: int | None = None
    """How many, where somebody counted them."""
    group: str | None = None
    split: str | None = None
    source_language: str | None = None

    def text(self, language: str) -> str:
        return ("\n" if self.sentences is None else joiner(language)).join(self.parts)


def load(name: str, language: str, split: str, shared: bool, parallel: Sequence[str]) -> tuple[Passage, ...]:
    """See `harness.corpora.load_corpus`."""
    documents = {item.id: item for item in _read(name, language, split)}
    if parallel:
        columns = {code: {item.id: item for item in _read(name, code, split)} for code in parallel}
        _require_equal_ids(name, columns)
        documents = _count_sentences(name, documents, columns)
    if any(item.split for item in documents.values()):
        kept = [item for item in documents.values() if item.split == split]
    elif shared and "{split}" not in name:
        kept = [item for item in documents.values() if split_of(item.id) == split]
    else:
        kept = list(documents.values())
    if not documents:
        raise UserError(f"There is no {split} text in {language}: {_path(name, language, split)} holds no document.")
    if not kept:
        splits = sorted({item.split or split_of(item.id) for item in documents.values()})
        raise UserError(
            f"The corpus '{name}' has no {split} text in {language}: its {len(documents)} documents there are all "
            f"{listed(splits)}. Give both splits to its rows, or name another file for the other purpose."
        )
    return tuple(
        passage(
            item.text(language),
            item.group or (item.id if parallel else f"{language}/{item.id}"),
            language,
            item.source_language,
            item.sentences or 1,
        )
        for item in kept
    )


def split_of(id: str) -> str:
    """The split a document belongs to where nobody says: half by half, by a hash, so that order does not matter.

    >>> [split_of(str(n)) for n in range(1, 5)]
    ['test', 'calibration', 'calibration', 'calibration']
    """
    return ("test", "calibration")[hashlib.blake2b(id.encode(), digest_size=1).digest()[0] % 2]


def check(name: str, languages: Sequence[str]) -> list[str]:
    """See `harness.corpora.check_corpus`."""
    pattern = name.removeprefix("file:")
    if Path(pattern).suffix not in KINDS:
        return [f"'{name}' is no corpus file: it ends in '{Path(pattern).suffix}', and allowed are {listed(KINDS)}."]
    problems = []
    for split in ("test", "calibration") if "{split}" in pattern else ("",):
        missing = [code for code in languages if not _path(name, code, split).is_file()]
        if missing:
            problems.append(_missing(name, missing, split))
    if problems or "{language}" in pattern:
        return problems
    has = _languages_of_rows(_path(name, "", "test"))
    if has and (missing := [code for code in languages if code not in has]):
        problems.append(f"The corpus '{name}' has no {listed(missing)}; it has {listed(sorted(has))}.")
    elif not has and len(languages) > 1:
        problems.append(
            f"'{name}' would be read for each of {listed(languages)}: put {{language}} into its name"
            + (", or a 'language' into each row." if pattern.endswith(".jsonl") else ".")
        )
    return problems


def _path(name: str, language: str, split: str) -> Path:
    return Path(name.removeprefix("file:").replace("{language}", language).replace("{split}", split)).expanduser()


def _missing(name: str, languages: Sequence[str], split: str) -> str:
    """The sentence for files that are not there: languages that are, else the nearest file name."""
    marked = _path(name, "{language}", split)
    before, _, after = marked.name.partition("{language}")
    if "{language}" in marked.name and marked.parent.is_dir():
        found = [path.name for path in marked.parent.iterdir() if path.is_file()]
        has = sorted(f[len(before) : len(f) - len(after)] for f in found if f.startswith(before) and f.endswith(after))
        if has:
            return f"The corpus '{name}' has no {listed(languages)}; it has {listed(has)} (in {marked.parent})."
    path = _path(name, languages[0], split)
    if not path.parent.is_dir():
        return f"There is no folder '{path.parent}', where '{name}' looks for {path.name}."
    beside = sorted(item.name for item in path.parent.iterdir() if item.suffix in KINDS)
    return f"There is no file '{path}'.{nearest(path.name, beside)} In that folder: {listed(beside)}."


def _languages_of_rows(path: Path) -> set[str]:
    if path.suffix != ".jsonl":
        return set()
    return {row["language"] for row in _rows(path) if isinstance(row.get("language"), str)}


def _read(name: str, language: str, split: str) -> list[_Document]:
    path = _path(name, language, split)
    if not path.is_file():
        raise UserError(_missing(name, [language], split))
    if path.suffix == ".txt":
        blocks = [block.strip("\n") for block in re.split(r"\n(?:[ \t]*\n)+", _text(path)) if block.strip()]
        return [_Document(str(n), tuple(block.split("\n"))) for n, block in enumerate(blocks, 1)]
    documents = [
        _document(path, number, row)
        for number, row in enumerate(_rows(path), 1)
        if "canary" not in row and row.get("language", language) == language
    ]
    seen: set[str] = set()
    for item in documents:
        if item.id in seen:
            raise UserError(f"{path} has two rows with the id '{item.id}' in {language}; ids are unique in a language.")
        seen.add(item.id)
    return documents


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start} cannot be read): save it as UTF-8.") from error


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}, line {number}, is not JSON: {error.msg} at column {error.colno}.") from error
        if not isinstance(row, dict):
            raise UserError(f"{path}, line {number}, is no JSON object but {line.strip()[:40]}.")
        yield row


def _document(path: Path, number: int, row: Mapping[str, Any]) -> _Document:
    text, sentences = row.get("text"), row.get("sentences")
    parts: tuple[str, ...]
    count: int | None
    if isinstance(sentences, list) and sentences and all(isinstance(s, str) and s.strip() for s in sentences):
        parts, count = tuple(sentences), len(sentences)
    elif isinstance(text, str) and text.strip():
        parts, count = (text,), sentences if isinstance(sentences, int) and sentences > 0 else None
    else:
        raise UserError(
            f"{path}, row {number}, has no text: it has {listed(sorted(row))}, "
            "and needs 'text' (or 'sentences', a list)."
        )
    split = row.get("split")
    if split not in (None, "test", "calibration"):
        raise UserError(
            f"{path}, row {number}, has the split '{split}'; allowed are calibration and test."
            f"{nearest(str(split), ('calibration', 'test'))}"
        )
    group = row.get("group")
    # A row that has a group and no id is known by its group: one document per group and language.
    id = str(row.get("id", number if group is None else group))
    return _Document(id, parts, count, None if group is None else str(group), split, row.get("source_language"))


def _require_equal_ids(name: str, columns: Mapping[str, Mapping[str, _Document]]) -> None:
    """Raise UserError with the first id that some language lacks."""
    for id in dict.fromkeys(id for column in columns.values() for id in column):
        lacking = [code for code, column in columns.items() if id not in column]
        if lacking:
            counts = ", ".join(f"{code} {len(column)}" for code, column in columns.items())
            raise UserError(
                f"The corpus '{name}' is not parallel: {listed(lacking)} lacks the document '{id}' "
                f"(documents: {counts}). Add it, or leave out parallel = true: "
                "then no gap between languages is computed from this corpus."
            )


def _count_sentences(
    name: str, documents: Mapping[str, _Document], columns: Mapping[str, Mapping[str, _Document]]
) -> dict[str, _Document]:
    """Parts are aligned sentences if every document has equally many in all languages.

    If not, the documents stay the units, unless the rows themselves claim unequal counts: that is a UserError.
    """
    counted = {}
    for id, item in documents.items():
        counts = {code: column[id].sentences or len(column[id].parts) for code, column in columns.items()}
        if len(set(counts.values())) > 1:
            if item.sentences is None:
                return dict(documents)
            told = ", ".join(f"{code} {count}" for code, count in counts.items())
            raise UserError(
                f"The document '{id}' of '{name}' has unequal numbers of sentences ({told}): "
                "aligned sentences are equally many, so merge or split some."
            )
        counted[id] = replace(item, sentences=next(iter(counts.values())))
    return counted
