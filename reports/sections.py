"""What the page says and in which order: records and claims made into sections of sentences, plots and tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from reports import claimed, summary, tables
from reports.claimed import Sentence
from reports.palette import Mark, marks
from reports.plots import PARTS, Panel, Plot, change_panels, gap_panels, perplexity_panels, point_panels, size_panels
from reports.shown import Column, Table, estimate, language, megabytes, number, percent, text, value
from reports.words import Words, tagged_name
from results.claim import Claims
from results.labels import labels, method_key
from results.record import Record
from results.store import Run


@dataclass(frozen=True)
class View:
    table: Table
    open: bool = False


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    sentences: Sequence[Sentence] = ()
    paragraphs: Sequence[str] = ()
    plot: Plot | None = None
    tables: Sequence[View] = ()
    first: bool = False
    folded: Sequence[Sentence] = ()
    """Sentences to unfold, and the title under which they are folded."""
    folded_title: str = ""


@dataclass(frozen=True)
class Page:
    models: Sequence[str]
    lead: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    level: str
    """The confidence level of its intervals, such as ``95%``."""


@dataclass(frozen=True)
class Gathered:
    """Everything that is said, as frames; nothing below reads a record again."""

    claims: Claims
    records: Sequence[Record]
    labels: Mapping[str, str]
    marks: Mapping[str, Mark]
    variants: pd.DataFrame
    perplexity: pd.DataFrame
    fidelity: pd.DataFrame
    footprint: pd.DataFrame
    changes: pd.DataFrame
    gaps: pd.DataFrame
    failures: pd.DataFrame
    worst: Mapping[str, str]
    environments: pd.DataFrame = field(default_factory=pd.DataFrame)
    notices: Sequence[str] = ()

    def summary(self) -> pd.DataFrame:
        return summary.summary(self.variants, self.footprint, self.changes, self.fidelity, self.failures, self.worst)


def gather(run: Run, claims: Claims, words: Words) -> Gathered:
    records = run.records()
    unique = {record.cell.variant.key: record.cell.variant for record in records}
    named = labels(unique.values())
    changes = claimed.changes(claims)
    return Gathered(
        claims=claims,
        records=records,
        labels=named,
        marks=marks(
            [
                *((named[key], method_key(variant), variant.method == "none") for key, variant in unique.items()),
                *((change.label, method_key(change.variant), False) for change in claims.method_changes),
            ]
        ),
        variants=pd.DataFrame(
            [{"key": key, "variant": named[key], "is_none": v.method == "none"} for key, v in unique.items()],
            columns=["key", "variant", "is_none"],
        ),
        perplexity=tables.task_table(records, named, "perplexity", tables.PERPLEXITY),
        fidelity=tables.task_table(records, named, "fidelity", tables.FIDELITY),
        footprint=tables.footprints(records, named),
        changes=changes,
        gaps=claimed.gaps(claims, words),
        failures=tables.failures(records, named),
        worst=claimed.worst_languages(changes),
        environments=_environments(run, records),
        notices=run.notices,
    )


def page(found: Gathered, words: Words) -> Page:
    models = list(dict.fromkeys(record.cell.variant.model for record in found.records))
    languages = list(dict.fromkeys(r.cell.language for r in found.records if r.cell.language != "und"))
    lead = [
        (words["lead_models"], ", ".join(models)),
        (words["lead_variants"], str(len(found.variants))),
        (words["lead_languages"], ", ".join(tagged_name(code) for code in languages)),
    ]
    sections = [
        _verdict(found, words),
        *_by_size(found, words),
        _changes(found, words),
        _gaps(found, words),
        _points(found, words),
        _comparisons(found, words),
        _sizes(found, words),
        _fidelity(found, words),
        _measurements(found, words),
        _open(found, words),
        _failures(found, words),
        _provenance(found, words),
        Section("statistics", words["statistics"], paragraphs=[words[f"statistics_{i}"] for i in (1, 2, 3)]),
    ]
    return Page(models, lead, [section for section in sections if section is not None], _level(found))


def _verdict(found: Gathered, words: Words) -> Section:
    said = claimed.verdicts(found.claims, words) or [Sentence(words["no_verdicts"])]
    if len(found.failures):
        count = int(found.failures["cells"].sum())
        said = [*said, Sentence(words.say("failures_note", count=count), "failed")]
    views = [View(table, open=True) for table in summary.tables(found.summary(), words)]
    notes = [*claimed.claim_notes(found.claims, words), words.say("summary_note", level=_level(found))]
    return Section("verdict", words["verdicts"], said, notes, tables=views, first=True)


def _by_size(found: Gathered, words: Words) -> Iterable[Section]:
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
        notes = [words.say("by_size_note", level=_level(found)), *([words["worst_note"]] if worst else [])]
        yield Section(name, title, (), notes, Plot(name, title, panels, _key(found, rows)), [View(table)])


def _changes(found: Gathered, words: Words) -> Section | None:
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
            value(words["p_adjusted"], "p_adjusted", _p),
        ),
        words,
    )
    # A protocol that keeps no sentences still has perplexities.
    column = "extra_bits" if rows["extra_bits"].notna().any() else "log_ratio"
    plot = _forest_plot("changes", words["changes"], rows, column, words[column], change_panels, found, words)
    return Section(
        "changes", words["changes"], (), [words.say("changes_note", level=_level(found))], plot, [View(table)]
    )


def _gaps(found: Gathered, words: Words) -> Section | None:
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
            value(words["p_adjusted"], "p_adjusted", _p),
            Column(words["verdict"], lambda row, _: words[row.verdict], False),
            value(words["not_ruled_out"], "not_ruled_out"),
            text(words["decomposition"], "decomposition"),
        ),
        words,
    )
    plot = _forest_plot("gaps", words["gaps"], rows, "gap", words["gap"], gap_panels, found, words)
    return Section(
        "gaps",
        words["gaps"],
        paragraphs=[words.say("gaps_note", level=_level(found))],
        plot=plot,
        tables=[View(table)],
        folded=claimed.gap_sentences(found.claims, words),
        folded_title=words["all_gaps"],
    )


def _points(found: Gathered, words: Words) -> Section | None:
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
    plot = Plot("points", words["points"], point_panels(rows, found.marks, words), _key(found, rows))
    return Section("points", words["points"], (), [words["points_note"]], plot, [View(table)])


def _comparisons(found: Gathered, words: Words) -> Section | None:
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
            Column(words["measure"], lambda row, _: words[row.measure], False),
            language(words["language"]),
            estimate(words["difference"], "difference", signed=True),
            value(words["p_adjusted"], "p_adjusted", _p),
            Column(words["outcome"], lambda row, _: words[row.outcome], False),
        ),
        words,
    )
    return Section("comparisons", words["comparisons"], said, [words["comparisons_note"]], tables=[View(table)])


def _sizes(found: Gathered, words: Words) -> Section | None:
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


def _fidelity(found: Gathered, words: Words) -> Section | None:
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


def _measurements(found: Gathered, words: Words) -> Section:
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


def _open(found: Gathered, words: Words) -> Section:
    said = claimed.open_questions(found.claims, words)
    return Section("open", words["not_established"], said, [] if said else [words["nothing_open"]])


def _failures(found: Gathered, words: Words) -> Section:
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


def _provenance(found: Gathered, words: Words) -> Section:
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


def estimate_of(header: str, name: str, low: str, high: str, signed: bool = False) -> Column:
    """Like ``estimate``, where the bounds' columns have names of their own."""
    from reports.shown import with_interval

    return Column(
        header,
        lambda row, missing: with_interval(getattr(row, name), getattr(row, low), getattr(row, high), missing, signed),
    )


def _forest_plot(
    name: str,
    title: str,
    rows: pd.DataFrame,
    column: str,
    label: str,
    panels: Callable[..., list[Panel]],
    found: Gathered,
    words: Words,
) -> Plot | None:
    frame = rows[rows["in_plots"]].rename(columns={column: "value", f"{column}_low": "low", f"{column}_high": "high"})
    frame = frame.dropna(subset=["value"])
    return Plot(name, title, panels(frame, found.marks, words, label)) if len(frame) else None


def _key(found: Gathered, rows: pd.DataFrame) -> list[tuple[str, Mark | str]]:
    shown = set(rows["variant"])
    return [(label, mark) for label, mark in found.marks.items() if label in shown]


def _level(found: Gathered) -> str:
    """The confidence level of the claims, such as ``95%``."""
    return f"{100 * found.claims.level:g}%"


def _p(probability: float) -> str:
    return "<0.001" if probability < 0.001 else f"{probability:.3f}"


def _environments(run: Run, records: Iterable[Record]) -> pd.DataFrame:
    """Name and value of everything known about the machines and versions, and the configurations' digests."""
    rows: list[dict[str, str | None]] = []
    digests = dict.fromkeys(record.environment for record in records if record.environment)
    for digest in digests:
        environment = run.environment(digest)
        if environment is None:
            continue
        for name, said in environment.to_json().items():
            pairs = said.items() if isinstance(said, Mapping) else [("", said)]
            rows += [
                {"environment": digest, "name": f"{name} {inner}".strip(), "value": str(v)}
                for inner, v in pairs
                if v is not None
            ]
    rows += [{"environment": None, "name": "config", "value": path.name} for path in run.configs()]
    return pd.DataFrame(rows, columns=["environment", "name", "value"])
