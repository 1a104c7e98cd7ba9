"""The section on parity: an in-house method beside the library that does the same, language by language, with costs."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from reports import tables
from reports.claimed import Sentence, bounds
from reports.gathered import Gathered
from reports.section import Section, View, contest_columns
from reports.shown import Table, megabytes, number, text, value
from reports.words import Words
from results.contests import Comparison
from results.counterparts import are_counterparts
from results.estimate import Estimate

SWAPPED = {"win": "loss", "loss": "win", "tie": "tie"}


def parity(found: Gathered, words: Words) -> Section | None:
    rows = pd.DataFrame([row for one in found.claims.comparisons for row in _row(one)])
    if rows.empty:
        return None
    table = Table(
        "parity",
        "",
        rows,
        (
            text(words["ours"], "ours"),
            text(words["theirs"], "theirs"),
            *contest_columns(words, "ours_less_theirs"),
        ),
        words,
    )
    spent = Table(
        "parity-costs",
        words["parity_costs"],
        costs(found, rows),
        (
            text(words["variant"], "variant"),
            value(f"{words['total']}, MB", "total_bytes", megabytes),
            value(words["bits_per_weight"], "bits_per_weight", lambda bits: number(bits, 2)),
            value(words["compress_seconds"], "seconds", lambda s: number(s, 1)),
            text(words["note"], "library_took"),
        ),
        words,
    )
    views = [View(table, open=True), View(spent, open=True)]
    return Section("parity", words["parity"], _sentences(rows, words), [words["parity_note"]], tables=views)


def _row(one: Comparison) -> list[dict[str, object]]:
    """The comparison as a row with ours first, or none where the two are no counterparts."""
    if are_counterparts(one.variant_a, one.variant_b):
        ours, theirs, difference, outcome = (one.a, one.variant_a), (one.b, one.variant_b), one.difference, one.verdict
    elif are_counterparts(one.variant_b, one.variant_a):
        ours, theirs = (one.b, one.variant_b), (one.a, one.variant_a)
        difference, outcome = _negated(one.difference), SWAPPED[one.verdict]  # type: ignore[assignment]
    else:
        return []
    keys = {"ours_key": ours[1].key, "theirs_key": theirs[1].key, "setting": one.setting, "unit": one.unit}
    shown = {"ours": ours[0], "theirs": theirs[0], "measure": one.measure, "language": one.language}
    return [{**shown, **bounds("difference", difference), "p_adjusted": one.p_adjusted, "outcome": outcome, **keys}]


def _negated(estimate: Estimate) -> Estimate:
    low, high = (None if end is None else -end for end in (estimate.high, estimate.low))
    return replace(estimate, value=-estimate.value, low=low, high=high)


def _sentences(rows: pd.DataFrame, words: Words) -> list[Sentence]:
    said = []
    for (ours, theirs, measure, _), of in rows.groupby(["ours", "theirs", "measure", "setting"], sort=False):
        count = of["outcome"].value_counts()
        counts = {name: int(count.get(name, 0)) for name in ("win", "tie", "loss")}
        told = words.say("parity_said", ours=ours, theirs=theirs, measure=words[str(measure)], all=len(of), **counts)
        said.append(Sentence(told))
    return said


def costs(found: Gathered, rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each variant that is compared: its bytes, what compressing took, and what a library says."""
    keys = list(dict.fromkeys(key for pair in zip(rows["ours_key"], rows["theirs_key"], strict=True) for key in pair))
    footprint = found.footprint.drop_duplicates("key").set_index("key")
    spent = tables.seconds(found.records, found.labels).set_index("variant")
    took = spent["compress"] if "compress" in spent else pd.Series(dtype=float)
    said = {record.cell.variant.key: record.notes.get("library took") for record in found.records}
    return pd.DataFrame(
        [
            {
                "variant": found.labels[key],
                "total_bytes": footprint["total_bytes"].get(key),
                "bits_per_weight": footprint["bits_per_weight"].get(key),
                "seconds": took.get(found.labels[key]),
                "library_took": said.get(key),
            }
            for key in keys
        ]
    )
