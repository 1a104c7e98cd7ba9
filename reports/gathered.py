"""Everything that a page says, as frames: records and claims are read here and nowhere below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from reports import claimed, summary, tables
from reports.gate_file import KeptGate, kept_gate
from reports.palette import Mark, marks
from reports.words import Words
from results.claim import Claims
from results.labels import labels, method_key
from results.record import Record
from results.store import Run


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
    answers: pd.DataFrame
    failures: pd.DataFrame
    worst: Mapping[str, str]
    environments: pd.DataFrame = field(default_factory=pd.DataFrame)
    notices: Sequence[str] = ()
    gate: KeptGate | None = None
    """The last gate's verdict on this run."""

    @property
    def level(self) -> str:
        """The confidence level of the claims, such as ``95%``."""
        return f"{100 * self.claims.level:g}%"

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
        answers=claimed.answers(claims),
        failures=tables.failures(records, named),
        worst=claimed.worst_languages(changes),
        environments=_environments(run, records),
        notices=run.notices,
        gate=kept_gate(run.folder, records),
    )


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
