"""The last gate's verdict beside the run that it judged: gate.json in the run folder, for the page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.gate_json import gate_from_json
from results.cell import digest_of
from results.files import replace
from results.gate import Gate
from results.record import Record

NAME = "gate.json"


@dataclass(frozen=True)
class KeptGate:
    """A verdict as it was kept, or why it cannot be read."""

    gate: Gate | None
    is_outdated: bool = False
    """Whether it was made of other records than the run has now."""
    made: str = ""
    """UTC, ISO 8601."""
    baseline: Mapping[str, str] | None = None
    """Of the baseline: ``file``, and of its last change ``date``, ``who``, ``why``; empty where unknown."""
    problem: str = ""


def digest_of_records(records: Iterable[Record]) -> str:
    """Another one as soon as a cell was added, lost or measured again."""
    return digest_of([[record.cell.key, record.status, record.created] for record in records])


def keep_gate(folder: Path, records: Iterable[Record], told: Mapping[str, Any], made: str) -> None:
    """Write gate.json; ``told``: `gate_json` with ``baseline`` beside it. Raises StoreError; an old one stays then."""
    value = {**told, "made": made, "records": digest_of_records(records)}
    text = json.dumps(
        value, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )  # indented it is ten times slower
    replace(folder / NAME, text.encode(errors="replace") + b"\n")


def kept_gate(folder: Path, records: Iterable[Record]) -> KeptGate | None:
    """The verdict in a run folder; None where no gate ran. One that cannot be read is told, not raised."""
    try:
        value = json.loads((folder / NAME).read_text(encoding="utf-8"))
        outdated = value["records"] != digest_of_records(records)
        baseline = {name: str(value["baseline"][name] or "") for name in ("file", "date", "who", "why")}
        return KeptGate(gate_from_json(value), outdated, str(value["made"]), baseline)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        told = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        return KeptGate(None, problem=told)
