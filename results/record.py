"""One line of a run: what happened to one cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from results.cell import Cell
from results.estimate import Estimate

SCHEMA = 1
Status = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Record:
    cell: Cell
    status: Status
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    reason: str | None = None
    """Why it failed or was skipped: one sentence. None when ok."""
    artifact: str | None = None
    """Digest of the artifact the numbers came from."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall seconds by phase: load, compress, reload, read ..."""
    notes: Mapping[str, str] = field(default_factory=dict)
    environment: str | None = None
    created: str | None = None
    """UTC, ISO 8601."""
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.status == "ok" and self.reason is not None:
            raise ValueError("an ok record has no reason")
        if self.status != "ok" and not self.reason:
            raise ValueError(f"a {self.status} record says why")
        if self.status != "ok" and self.estimates:
            raise ValueError(f"a {self.status} record holds no estimates")

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": self.schema,
            "key": self.cell.key,
            "cell": self.cell.to_json(),
            "status": self.status,
            "estimates": {name: estimate.to_json() for name, estimate in self.estimates.items()},
            "reason": self.reason,
            "artifact": self.artifact,
            "seconds": dict(self.seconds),
            "notes": dict(self.notes),
            "environment": self.environment,
            "created": self.created,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Record:
        fields = {k: v for k, v in value.items() if k not in ("key", "cell", "estimates")}
        estimates = {name: Estimate(**e) for name, e in value["estimates"].items()}
        return cls(cell=Cell.from_json(value["cell"]), estimates=estimates, **fields)
