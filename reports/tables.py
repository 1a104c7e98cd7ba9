"""Records as frames: one function a table, machine-readable column names, numbers as measured, absent ones absent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from reports.frontier import frontier
from results.again import asks_again
from results.metric import METRICS
from results.record import Record

PARTS = ("code_bytes", "scale_bytes", "side_bytes", "embedding_bytes", "head_bytes", "rest_bytes")
UNTOUCHED = ("embedding_bytes", "head_bytes", "rest_bytes")
PERPLEXITY = ("perplexity", "nats_per_token", "bits_per_sentence", "bits_per_byte")
FIDELITY = (
    "kld_mean",
    "kld_median",
    "kld_p99",
    "kld_p999",
    "top1_agreement",
    "delta_p_rms",
    "kld_bits_per_sentence",
    "kld_share_of_entropy",
)
Labels = Mapping[str, str]


def measurements(records: Iterable[Record], labels: Labels) -> pd.DataFrame:
    """Everything, one row for each cell and metric; a cell without numbers has one row with its status and reason."""
    rows = []
    for record in records:
        start = {**_cell(record, labels), "status": record.status, "reason": record.reason}
        for name, estimate in record.estimates.items():
            unit = METRICS[name].unit if name in METRICS else None
            rows.append({**start, "metric": name, "unit": unit, **estimate.to_json()})
        if not record.estimates:
            rows.append(start)
    columns = ["metric", "unit", "value", "low", "high", "level", "method", "df", "clusters", "n"]
    return _frame(rows, [*_CELL, "status", "reason", *columns])


def task_table(records: Iterable[Record], labels: Labels, task: str, metrics: Sequence[str]) -> pd.DataFrame:
    """One row for each cell of ``task``: each metric with its bounds in ``<metric>_low`` and ``<metric>_high``."""
    rows = []
    for record in records:
        if record.cell.task != task:
            continue
        row = {**_cell(record, labels), "status": record.status, "reason": record.reason}
        for name in metrics:
            if (estimate := record.estimates.get(name)) is not None:
                row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        rows.append(row)
    bounds = [column for name in metrics for column in (name, f"{name}_low", f"{name}_high")]
    frame = _frame(rows, [*_CELL, "status", "reason", *bounds])
    return frame.astype(dict.fromkeys(bounds, float))


def footprints(records: Iterable[Record], labels: Labels) -> pd.DataFrame:
    """One row a variant: bytes by part, total, on disk, bits per weight, and the part that its method left alone."""
    names = [*PARTS, "total_bytes", "file_bytes", "bits_per_weight"]
    frame = task_table(records, labels, "footprint", names)
    frame = frame.drop(columns=[c for name in names for c in (f"{name}_low", f"{name}_high")])
    frame["untouched_bytes"] = frame[list(UNTOUCHED)].sum(axis=1, min_count=1)
    return frame


def untouched(footprint: pd.DataFrame) -> list[dict[str, Any]]:
    """For each model: the bytes that no method in the run touches, and their share of the bytes of `none`."""
    found = []
    for model, rows in footprint.dropna(subset=["total_bytes"]).groupby("model", sort=False):
        base = rows[rows["is_none"]]["total_bytes"]
        left = rows[~rows["is_none"]]["untouched_bytes"].dropna()
        if len(base) and len(left):
            found.append({"model": model, "bytes": left.min(), "share": left.min() / base.iloc[0]})
    return found


def by_size(perplexity: pd.DataFrame, footprint: pd.DataFrame) -> pd.DataFrame:
    """Perplexity beside size for each reading, language and variant; ``on_front`` marks each panel's Pareto front."""
    sizes = footprint.dropna(subset=["total_bytes"]).drop_duplicates("key").set_index("key")["total_bytes"]
    frame = perplexity.dropna(subset=["perplexity"])
    frame = frame.assign(megabytes=frame["key"].map(sizes) / 1e6).dropna(subset=["megabytes"])
    frame = frame[
        [
            *("key", "variant", "model", "is_none", "reading", "language", "megabytes"),
            *("perplexity", "perplexity_low", "perplexity_high"),
        ]
    ].assign(on_front=False)
    for _, rows in frame.groupby(["model", "reading", "language"], sort=False):
        points = list(zip(rows["megabytes"], rows["perplexity"], strict=True))
        frame.loc[rows.index[frontier(points)], "on_front"] = True
    return frame.reset_index(drop=True)


def failures(records: Iterable[Record], labels: Labels) -> pd.DataFrame:
    """Cells without numbers, one row for each variant, status and reason."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for record in records:
        if record.status == "ok":
            continue
        cell = record.cell
        key = (cell.variant.key, record.status, record.reason or "")
        row = rows.setdefault(
            key,
            {
                "variant": labels[cell.variant.key],
                "status": record.status,
                "cells": 0,
                "tasks": [],
                "languages": [],
                "reason": record.reason,
            },
        )
        row["cells"] += 1
        for name, value in (("tasks", cell.task), ("languages", cell.language)):
            if value not in row[name]:
                row[name].append(value)
    for row in rows.values():
        row["tasks"], row["languages"] = ", ".join(row["tasks"]), ", ".join(row["languages"])
    return _frame(list(rows.values()), ["variant", "status", "cells", "tasks", "languages", "reason"])


def variants(records: Iterable[Record], labels: Labels) -> pd.DataFrame:
    """What defines each variant, one row each."""
    rows: dict[str, dict[str, Any]] = {}
    for record in records:
        variant = record.cell.variant
        row = rows.setdefault(
            variant.key,
            {
                "variant": labels[variant.key],
                "model": variant.model,
                "revision": variant.revision,
                "weights": variant.weights,
                "method": variant.method,
                "params": ", ".join(f"{k}={v}" for k, v in variant.params.items()) or None,
                "code": variant.code,
                "calibration": variant.calibration_label,
                "calibration_digest": variant.calibration,
                "draw": variant.draw,
                "seed": variant.seed,
                "dtype": variant.dtype,
                "device": variant.device,
                "artifact": None,
            },
        )
        row["artifact"] = row["artifact"] or record.artifact
    columns = ["variant", "model", "revision", "weights", "method", "params", "code", "calibration"]
    return _frame(list(rows.values()), [*columns, "calibration_digest", "draw", "seed", "dtype", "device", "artifact"])


def texts(records: Iterable[Record]) -> pd.DataFrame:
    """What was read: task, parameters, language and fingerprint, one row each."""
    rows = {}
    for record in records:
        cell = record.cell
        if cell.language == "und" or asks_again(cell):
            continue
        row = {
            "task": cell.task,
            "version": cell.task_version,
            "params": ", ".join(f"{k}={v}" for k, v in cell.params.items()) or None,
            "limit": cell.limit,
            "language": cell.language,
            "text": cell.text,
        }
        rows[tuple(row.values())] = row
    return _frame(list(rows.values()), ["task", "version", "params", "limit", "language", "text"])


def seconds(records: Iterable[Record], labels: Labels) -> pd.DataFrame:
    """Wall seconds of each variant by phase, summed over its cells; phases in the order they appear."""
    rows: dict[str, dict[str, Any]] = {}
    phases: dict[str, None] = {}
    for record in records:
        label = labels[record.cell.variant.key]
        row = rows.setdefault(label, {"variant": label})
        for phase, spent in record.seconds.items():
            phases[phase] = None
            row[phase] = row.get(phase, 0.0) + spent
    return _frame(list(rows.values()), ["variant", *phases])


def notes(records: Iterable[Record], labels: Labels) -> pd.DataFrame:
    """Facts kept beside the numbers, equal ones once, with the variants and languages they hold for."""
    rows: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for record in records:
        for name, said in record.notes.items():
            row = rows.setdefault((record.cell.task, name, said), {"variants": [], "languages": []})
            for column, value in (("variants", labels[record.cell.variant.key]), ("languages", record.cell.language)):
                if value not in row[column]:
                    row[column].append(value)
    listed = [
        {"task": task, "name": name, "note": said, **{column: ", ".join(found) for column, found in row.items()}}
        for (task, name, said), row in rows.items()
    ]
    return _frame(listed, ["task", "name", "note", "variants", "languages"])


_CELL = ("key", "variant", "model", "is_none", "task", "reading", "language", "cell")


def _cell(record: Record, labels: Labels) -> dict[str, Any]:
    cell = record.cell
    return {
        "key": cell.variant.key,
        "variant": labels[cell.variant.key],
        "model": cell.variant.model,
        "is_none": cell.variant.method == "none",
        "task": cell.task,
        "reading": " · ".join(
            str(v)
            for v in [
                *cell.params.values(),
                f"limit {cell.limit}" if cell.limit else None,
                "again" if asks_again(cell) else None,
            ]
            if v is not None
        ),
        "language": cell.language,
        "cell": cell.key,
    }


def _frame(rows: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """A frame with all columns in order, even when there is no row."""
    return pd.DataFrame(rows, columns=list(columns)).reindex(columns=list(columns))
