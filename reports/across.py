"""Several runs on one page: variants side by side, what moved between runs, and what differs in what made them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reports import summary
from reports.claimed import Sentence
from reports.gathered import gather
from reports.html import render, write_csv
from reports.page import Page
from reports.plot_files import to_stderr
from reports.section import Section, View, p_value
from reports.shown import Column, Table, is_missing, megabytes, number, percent, text, value, with_interval
from reports.words import Words, tagged_name
from results.across import Across, Apart, Beside, beside
from results.claims import make_claims
from results.files import replace
from results.labels import labels
from results.statistics import LEVEL
from results.store import Run

MOST = 6
"""Variants that a sentence names."""
SHARES = ("accuracy", "win_rate")
BYTES = ("total_bytes",)


@dataclass(frozen=True)
class Found:
    beside: Beside
    models: Sequence[str]
    languages: Sequence[str]
    summary: pd.DataFrame
    """The summaries of all runs, their rows ordered by variant, with the run's name in ``run``."""


def write_across(
    folders: Mapping[str, Path], out: Path, lang: str = "en", notice: Callable[[str], None] = to_stderr
) -> Path:
    """Write report.html and tables/*.csv of several runs (name -> folder) into ``out``; return the page.

    Raises ValueError for a language without words, TooLittle, and what ``Run.open`` raises.
    """
    words = Words(lang)
    runs = {name: Run.open(folder) for name, folder in folders.items()}
    for run in runs.values():
        for said in run.notices:
            notice(said)
    content = across_page(find(runs, words), words)
    for section in content.sections:
        for view in section.tables:
            write_csv(out, view.table)
    path = out / "report.html"
    replace(path, render(content, words).encode())
    return path


def find(runs: Mapping[str, Run], words: Words) -> Found:
    told = beside(runs)  # first, for it tells what cannot be compared at all
    records = [record for run in runs.values() for record in run.records()]
    named = labels(record.cell.variant for record in records)
    frames = []
    for name, run in runs.items():
        rows = gather(run, make_claims(run), words).summary()
        frames.append(rows.assign(run=name, variant=rows["key"].map(named)))
    whole = pd.concat(frames, ignore_index=True)
    order = {key: place for place, key in enumerate(dict.fromkeys(whole["key"]))}
    whole = whole.iloc[whole["key"].map(order).argsort(kind="stable")].reset_index(drop=True)
    models = list(dict.fromkeys(record.cell.variant.model for record in records))
    languages = list(dict.fromkeys(record.cell.language for record in records if record.cell.language != "und"))
    return Found(told, models, languages, whole)


def across_page(found: Found, words: Words) -> Page:
    lead = [
        (words["lead_runs"], ", ".join(found.beside.names)),
        (words["lead_models"], ", ".join(found.models)),
        (words["lead_languages"], ", ".join(tagged_name(code) for code in found.languages)),
    ]
    sections = [_first(found, words), _moved(found, words), _made(found, words), _apart(found, words)]
    statistics = Section("statistics", words["statistics"], paragraphs=[words[f"statistics_{i}"] for i in (1, 3)])
    return Page(found.models, lead, [one for one in (*sections, statistics) if one is not None], f"{100 * LEVEL:g}%")


def _first(found: Found, words: Words) -> Section:
    """What moved in a sentence a run, and the summaries side by side."""
    said = []
    for name in found.beside.names[1:]:
        of = [one for one in found.beside.compared if one.run == name]
        counts = {verdict: sum(one.verdict == verdict for one in of) for verdict in VERDICTS}
        counts = {key.replace(" ", "_"): count for key, count in counts.items()}
        kind = "established" if counts["established"] else ""
        first = found.beside.names[0]
        said.append(Sentence(words.say("across_counts", run=name, first=first, all=len(of), **counts), kind))
        apart = sum(one.run == name for one in found.beside.apart)
        if apart:
            said.append(Sentence(words.say("across_apart_count", run=name, first=first, count=apart), "depends"))
    differing = [one.name for one in found.beside.facts if one.differs and one.kind not in ("date", "text")]
    told = ", ".join(differing) or words["across_nothing_differs"]
    said.append(Sentence(words.say("across_differs", names=told)))
    notes = [words["across_summary_note"], words.say("summary_note", level=f"{100 * LEVEL:g}%")]
    tables = [
        Table(f"summary-{i}" if i else "summary", words["summary"], table.frame, _with_run(table, words), words)
        for i, table in enumerate(summary.tables(found.summary, words))
    ]
    return Section(
        "verdict", words["verdicts"], said, notes, tables=[View(one, open=True) for one in tables], first=True
    )


VERDICTS = ("same", "established", "not established", "differs")
WORDS = {
    "same": "across_same",
    "established": "across_established",
    "not established": "across_not_established",
    "differs": "across_number_differs",
}


def _with_run(table: Table, words: Words) -> tuple[Column, ...]:
    variant, *others = table.columns
    return (variant, text(words["run"], "run"), *others)


def _moved(found: Found, words: Words) -> Section | None:
    rows = pd.DataFrame([_row(one) for one in found.beside.compared])
    if rows.empty:
        return None
    columns = (
        text(words["variant"], "variant"),
        text(words["run"], "run"),
        text(words["metric"], "metric"),
        Column(words["language"], lambda row, _: "–" if row.language == "und" else tagged_name(row.language), False),
        Column(words.say("across_first", first=found.beside.names[0]), lambda row, missing: _plain(row, row.first)),
        Column(words["value"], lambda row, missing: _plain(row, row.value)),
        Column(words["difference"], _difference),
        value(words["p_adjusted"], "p_adjusted", p_value),
        value(words["items"], "items", str),
        Column(words["verdict"], lambda row, _: words[WORDS[row.verdict]], False),
    )
    table = Table("across", "", rows, columns, words)
    notes = [words.say("across_note", first=found.beside.names[0], level=f"{100 * LEVEL:g}%")]
    return Section("across", words["across"], (), notes, tables=[View(table, open=True)])


def _row(one: Across) -> dict[str, Any]:
    tested = one.difference.df is not None
    return {
        "variant": one.place.variant,
        "run": one.run,
        "task": one.place.task,
        "metric": one.metric,
        "language": one.place.language,
        "first": one.first,
        "value": one.value,
        "difference": one.difference.value,
        "difference_low": one.difference.low,
        "difference_high": one.difference.high,
        "p_adjusted": one.p_adjusted if tested else None,
        "items": one.items if tested else None,
        "verdict": one.verdict,
    }


def _plain(row: Any, of: float) -> str:
    if row.metric in BYTES:
        return f"{megabytes(of)} MB"
    return percent(of) if row.metric in SHARES else number(of)


def _difference(row: Any, missing: str) -> str:
    """In points for shares and in MB for bytes, as the values stand in the columns beside it."""
    scale = 100 if row.metric in SHARES else 1e-6 if row.metric in BYTES else 1
    low, high = (None if is_missing(end) else scale * end for end in (row.difference_low, row.difference_high))
    return with_interval(scale * row.difference, low, high, missing, signed=True)


def _made(found: Found, words: Words) -> Section:
    """The provenance of each run beside the others: what differs open, what is the same folded."""
    names = found.beside.names
    frame = pd.DataFrame(
        [
            {"differs": fact.differs, "kind": words[f"across_{fact.kind}"], "name": fact.name}
            | {f"run_{i}": said or None for i, said in enumerate(fact.said)}
            for fact in found.beside.facts
        ],
        columns=["differs", "kind", "name", *(f"run_{i}" for i in range(len(names)))],
    )
    columns = (
        text(words["note"], "name"),
        text(words["across_of"], "kind"),
        *(text(name, f"run_{i}") for i, name in enumerate(names)),
    )
    views = [
        View(
            Table(f"provenance-{name}", words[f"across_{name}"], rows.drop(columns="differs"), columns, words), is_open
        )
        for name, rows, is_open in (
            ("differing", frame[frame["differs"]], True),
            ("equal", frame[~frame["differs"].astype(bool)], False),
        )
        if len(rows)
    ]
    note = words["across_provenance_note" if frame["differs"].any() else "across_nothing_differs_note"]
    return Section("provenance", words["across_provenance"], (), [note], tables=views)


def _apart(found: Found, words: Words) -> Section | None:
    """What could not be compared: one sentence for each run, task and reason, its languages and variants named."""
    if not found.beside.apart:
        return None
    cells: dict[tuple[str, str, str, str, str], list[Apart]] = {}
    for one in found.beside.apart:
        # Texts differ by language: their digests stand in the provenance, not in a sentence each.
        detail = "" if one.why == "texts" else one.detail
        cells.setdefault((one.run, one.why, detail, one.place.task, one.place.language), []).append(one)
    gathered: dict[tuple[str, ...], dict[str, list[str]]] = {}  # cells with the same variants, by task
    for (run, why, detail, task, language), of in cells.items():
        variants = tuple(dict.fromkeys(one.place.variant for one in of))
        gathered.setdefault((run, why, detail, *variants), {}).setdefault(task, []).append(language)
    said = []
    for (run, why, detail, *names), tasks in gathered.items():
        more = [words.say("across_more", count=len(names) - MOST)] if len(names) > MOST else []
        sentence = words.say(
            f"apart_{why}",
            run=run,
            first=found.beside.names[0],
            what=", ".join(task if of == ["und"] else f"{task} ({', '.join(of)})" for task, of in tasks.items()),
            variants=", ".join([*names[:MOST], *more]),
            detail=detail,
        )
        said.append(Sentence(sentence))
    return Section("apart", words["across_apart"], said)
