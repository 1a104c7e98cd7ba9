"""The sections one looks things up in: sizes, fidelity, every number, failures, provenance."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from reports import claimed, summary, tables
from reports.claimed import Sentence
from reports.gathered import Gathered
from reports.plots import PARTS, Plot, size_panels
from reports.section import Section, View, estimate_of
from reports.shown import Column, Table, estimate, language, megabytes, number, percent, text, value
from reports.words import Words


def sizes(found: Gathered, words: Words) -> Section | None:
    rows = found.footprint
    if rows.empty:
        return None
    said = [
        Sentence(
            words.say(
                "untouched", model=item["model"], megabytes=megabytes(item["bytes"]), share=percent(item["share"])
            )
        )
        for item in tables.untouched(rows)
    ]
    columns = [value(f"{words[part]}, MB", part, megabytes) for part in tables.PARTS]
    table = Table(
        "sizes",
        "",
        rows,
        (
            text(words["variant"], "variant"),
            *columns,
            value(f"{words['total']}, MB", "total_bytes", megabytes),
            value(f"{words['file_bytes']}, MB", "file_bytes", megabytes),
            summary.bits_per_weight(words["bits_per_weight"]),
        ),
        words,
    )
    measured = rows.dropna(subset=["total_bytes"])
    plot = None
    if len(measured):
        key = [(words[part], role) for part, role in PARTS.items() if measured[part].fillna(0).gt(0).any()]
        plot = Plot("sizes", words["sizes"], size_panels(measured, words), key)
    return Section("sizes", words["sizes"], said, [words["sizes_note"]], plot, [View(table)])


def fidelity(found: Gathered, words: Words) -> Section | None:
    rows = found.fidelity
    if rows.empty:
        return None
    table = Table(
        "fidelity",
        words["fidelity"],
        rows,
        (
            text(words["variant"], "variant"),
            language(words["language"]),
            estimate(words["kld_mean"], "kld_mean"),
            *(value(words[name], name) for name in ("kld_median", "kld_p99", "kld_p999")),
            value(words["top1_agreement"], "top1_agreement", percent),
            value(words["delta_p_rms"], "delta_p_rms"),
            estimate(words["kld_bits_per_sentence"], "kld_bits_per_sentence"),
        ),
        words,
    )
    return Section("fidelity", words["fidelity"], (), [words["fidelity_note"]], tables=[View(table, open=True)])


def measurements(found: Gathered, words: Words) -> Section:
    rows = found.perplexity
    table = Table(
        "perplexity",
        words["perplexity"],
        rows,
        (
            text(words["variant"], "variant"),
            language(words["language"]),
            text(words["protocol"], "reading"),
            estimate(words["perplexity"], "perplexity"),
            estimate(words["bits_per_sentence"], "bits_per_sentence"),
            estimate(words["bits_per_byte"], "bits_per_byte"),
            Column(words["status"], lambda row, _: words[row.status], False),
        ),
        words,
    )
    everything = tables.measurements(found.records, found.labels)
    whole = Table(
        "measurements",
        words["measurements"],
        everything,
        (
            text(words["variant"], "variant"),
            text(words["task"], "task"),
            text(words["language"], "language"),
            text(words["metric"], "metric"),
            estimate_of(words["value"], "value", "low", "high"),
            text(words["unit"], "unit"),
            text(words["interval"], "method"),
            value(words["clusters"], "clusters", lambda count: number(count, 0)),
            value(words["count"], "n", lambda count: number(count, 0)),
        ),
        words,
    )
    return Section("measurements", words["measurements"], tables=[View(table), View(whole)])


def noise(found: Gathered, words: Words) -> Section | None:
    """What `none` gives against itself, for every metric that was read twice."""
    rows = claimed.noise_floors(found.claims)
    if rows.empty:
        return None
    table = Table(
        "noise-floors",
        "",
        rows,
        (
            text(words["metric"], "metric"),
            language(words["language"]),
            text(words["setting"], "setting"),
            value(words["band"], "band"),
            estimate(words["value"], "mean", signed=True),
            value(words["clusters"], "clusters", lambda count: number(count, 0)),
        ),
        words,
    )
    return Section("noise", words["noise_floors"], tables=[View(table)])


def failures(found: Gathered, words: Words) -> Section:
    if found.failures.empty:
        return Section("failures", words["failures"], paragraphs=[words["no_failures"]])
    table = Table(
        "failures",
        words["failures"],
        found.failures,
        (
            text(words["variant"], "variant"),
            Column(words["status"], lambda row, _: words[row.status], False),
            value(words["cells"], "cells", str),
            text(words["task"], "tasks"),
            text(words["language"], "languages"),
            text(words["reason"], "reason"),
        ),
        words,
    )
    note = words.say("failures_note", count=int(found.failures["cells"].sum()))
    return Section("failures", words["failures"], (), [note], tables=[View(table, open=True)])


def provenance(found: Gathered, words: Words) -> Section:
    def plain(name: str, title: str, frame: pd.DataFrame, headers: Mapping[str, str]) -> View:
        columns = tuple(text(words[word], column) for column, word in headers.items())
        return View(Table(name, words[title], frame, columns, words))

    variant = ("variant", "model", "revision", "weights", "method", "params", "calibration", "draw", "seed")
    spent = tables.seconds(found.records, found.labels)
    phases = [name for name in spent.columns if name != "variant"]
    return Section(
        "provenance",
        words["provenance"],
        paragraphs=list(found.notices),
        tables=[
            plain(
                "variants",
                "variants_table",
                tables.variants(found.records, found.labels),
                {name: name for name in (*variant, "dtype", "device", "artifact")},
            ),
            plain(
                "texts",
                "texts",
                tables.texts(found.records),
                {name: name for name in ("task", "params", "limit", "language", "text")},
            ),
            plain("environments", "environments", found.environments, {"name": "note", "value": "value"}),
            View(
                Table(
                    "seconds",
                    words["seconds_table"],
                    spent,
                    (text(words["variant"], "variant"), *(value(name, name) for name in phases)),
                    words,
                )
            ),
            plain(
                "notes",
                "notes_table",
                tables.notes(found.records, found.labels),
                {"task": "task", "name": "metric", "note": "note", "variants": "variant", "languages": "language"},
            ),
        ],
    )
