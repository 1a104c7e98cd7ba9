"""The sections that argue: verdicts, what each language lost, the gaps, comparisons, and what stayed open."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from reports import claimed, summary, tables
from reports.claimed import Sentence
from reports.gate_section import gate_line
from reports.gathered import Gathered
from reports.plots import Plot, change_panels, gap_panels, perplexity_panels, point_panels
from reports.section import Section, View, contest_columns, estimate_of, forest_plot, key, p_value
from reports.shown import Column, Table, estimate, language, megabytes, number, percent, text, value
from reports.wins import verdicts as win_verdicts
from reports.words import Words, tagged_name

MOST_SENTENCES = 12
"""Of the first screen; the rest is folded, for sixty variants have much to say."""


def verdict(found: Gathered, words: Words) -> Section:
    said = claimed.verdicts(found.claims, words)
    judged = win_verdicts(found.claims, words)
    if not said and not judged:
        said = [Sentence(words["no_verdicts"])]
    room = max(MOST_SENTENCES - len(judged), MOST_SENTENCES // 2)
    shown = [*gate_line(found, words), *said[:room], *judged]
    if len(found.failures):
        count = int(found.failures["cells"].sum())
        shown.append(Sentence(words.say("failures_note", count=count), "failed"))
    return Section(
        "verdict",
        words["verdicts"],
        shown,
        [*claimed.claim_notes(found.claims, words), words.say("summary_note", level=found.level)],
        tables=[View(table, open=True) for table in summary.tables(found.summary(), words)],
        first=True,
        folded=said[room:],
        folded_title=words["more_verdicts"],
    )


def by_size(found: Gathered, words: Words) -> Iterable[Section]:
    """One section for each model and reading, for perplexities of two protocols share no axis."""
    frame = tables.by_size(found.perplexity, found.footprint)
    groups = list(frame.groupby(["model", "reading"], sort=False))
    for place, ((model, reading), rows) in enumerate(groups):
        rows = rows.rename(columns={"perplexity_low": "low", "perplexity_high": "high"})
        worst = claimed.worst_of_all({k: v for k, v in found.worst.items() if k in set(rows["variant"])})
        name = "perplexity-by-size" + (f"-{place + 1}" if place else "")
        title = words["by_size"] + (f" · {model} · {reading}" if len(groups) > 1 else "")
        panels = perplexity_panels(rows, found.marks, words, worst)
        table = Table(
            name,
            "",
            rows,
            (
                text(words["variant"], "variant"),
                language(words["language"]),
                value(words["megabytes"], "megabytes", lambda megabyte: megabytes(megabyte * 1e6)),
                estimate_of(words["perplexity"], "perplexity", "low", "high"),
                Column(words["on_front"], lambda row, _: words["yes" if row.on_front else "no"], False),
            ),
            words,
        )
        notes = [words.say("by_size_note", level=found.level), *([words["worst_note"]] if worst else [])]
        yield Section(name, title, (), notes, Plot(name, title, panels, key(found, rows)), [View(table)])


def changes(found: Gathered, words: Words) -> Section | None:
    rows = found.changes
    if rows.empty:
        return None
    table = Table(
        "changes",
        "",
        rows,
        (
            text(words["variant"], "variant"),
            language(words["language"]),
            estimate(words["extra_bits"], "extra_bits", signed=True),
            estimate(words["log_ratio"], "log_ratio", signed=True),
            value(words["p_adjusted"], "p_adjusted", p_value),
        ),
        words,
    )
    # A protocol that keeps no sentences still has perplexities.
    column = "extra_bits" if rows["extra_bits"].notna().any() else "log_ratio"
    plot = forest_plot("changes", words["changes"], rows, column, words[column], change_panels, found, words)
    notes = [words.say("changes_note", level=found.level), *_band_note(rows[f"{column}_band"], words)]
    return Section("changes", words["changes"], (), notes, plot, [View(table)])


def gaps(found: Gathered, words: Words) -> Section | None:
    rows = found.gaps
    if rows.empty:
        return None
    table = Table(
        "gaps",
        "",
        rows,
        (
            text(words["variant"], "variant"),
            language(words["language"]),
            estimate(words["gap"], "gap", signed=True),
            estimate(words["per_token"], "per_token", signed=True),
            estimate(words["relative"], "relative", signed=True),
            value(words["p_adjusted"], "p_adjusted", p_value),
            Column(words["verdict"], lambda row, _: words[row.verdict], False),
            value(words["not_ruled_out"], "not_ruled_out"),
            *(value(words[name], name) for name in ("passage_sd", "draw_sd") if rows[name].notna().any()),
            text(words["decomposition"], "decomposition"),
        ),
        words,
    )
    plot = forest_plot("gaps", words["gaps"], rows, "gap", words["gap"], gap_panels, found, words)
    return Section(
        "gaps",
        words["gaps"],
        paragraphs=[words.say("gaps_note", level=found.level), *_band_note(rows["gap_band"], words)],
        plot=plot,
        tables=[View(table), *_by_source(found, words)],
        folded=claimed.gap_sentences(found.claims, words),
        folded_title=words["all_gaps"],
    )


def _band_note(bands: pd.Series, words: Words) -> list[str]:
    """What the grey band of a forest is; nothing where `none` was not read twice."""
    return [words["band_note"]] if bands.notna().any() else []


def _by_source(found: Gathered, words: Words) -> list[View]:
    """Texts written from one language make translationese look like a gap: the gap by source language shows it."""
    rows = claimed.gaps_by_source(found.claims)
    columns = (
        text(words["variant"], "variant"),
        language(words["language"]),
        text(words["source_language"], "source_language"),
        value(words["passages"], "passages", lambda count: number(count, 0)),
        value(words["gap"], "gap"),
    )
    return [View(Table("gaps-by-source", words["by_source"], rows, columns, words))] if len(rows) else []


def points(found: Gathered, words: Words) -> Section | None:
    rows = claimed.points(found.changes)
    if rows.empty:
        return None
    table = Table(
        "points",
        "",
        rows,
        (
            text(words["variant"], "variant"),
            language(words["language"]),
            estimate_of(words.say("extra_bits_in", language=tagged_name("en")), "x", "x_low", "x_high", True),
            estimate_of(words["extra_bits"], "y", "y_low", "y_high", True),
        ),
        words,
    )
    plot = Plot("points", words["points"], point_panels(rows, found.marks, words), key(found, rows))
    return Section("points", words["points"], (), [words["points_note"]], plot, [View(table)])


def answers(found: Gathered, words: Words) -> Section | None:
    rows = found.answers
    if rows.empty:
        return None
    table = Table(
        "answers",
        "",
        rows,
        (
            text(words["variant"], "variant"),
            text(words["task"], "task"),
            language(words["language"]),
            value(words["items"], "items", str),
            value(words["accuracy_none"], "accuracy_none", percent),
            value(words["accuracy"], "accuracy", percent),
            Column(words["at_chance"], lambda row, _: words["yes" if row.at_chance else "no"], False),
            *(value(words[name], name, str) for name in ("lost", "gained", "moved")),
            value(words["p_adjusted"], "p_adjusted", p_value),
            estimate(words["margin"], "margin", signed=True),
            value(words["p_margin"], "p_margin", p_value),
            *([value(words["margin_band"], "margin_band")] if rows["margin_band"].notna().any() else []),
            estimate(words["margin_gap"], "margin_gap", signed=True),
        ),
        words,
    )
    return Section(
        "answers",
        words["answers"],
        paragraphs=[words.say("answers_note", level=found.level), *_band_note(rows["margin_band"], words)],
        plot=forest_plot("answers", words["answers"], rows, "margin", words["margin"], change_panels, found, words),
        tables=[View(table)],
        folded=claimed.answer_sentences(found.claims, words),
        folded_title=words["all_answers"],
    )


def comparisons(found: Gathered, words: Words) -> Section | None:
    rows = claimed.comparisons(found.claims)
    if rows.empty:
        return None
    said = [sentence for measure in ("bits", "kld") for sentence in claimed.compared_in(found.claims, measure, words)]
    table = Table(
        "comparisons",
        "",
        rows,
        (
            text(words["method_a"], "a"),
            text(words["method_b"], "b"),
            *contest_columns(words, "difference"),
        ),
        words,
    )
    return Section("comparisons", words["comparisons"], said, [words["comparisons_note"]], tables=[View(table)])


def not_established(found: Gathered, words: Words) -> Section:
    said = claimed.open_questions(found.claims, words)
    return Section("open", words["not_established"], said, [] if said else [words["nothing_open"]])
