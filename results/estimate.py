"""One item's measurement (Sample) and a number with its uncertainty (Estimate)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from results.conversation import Conversation


@dataclass(frozen=True)
class Sample:
    """What was measured on one passage, window or item; kept so that variants can be compared paired."""

    id: str
    """Hash of the content: differs between languages."""
    group: str
    """Alignment id of the passage or item, the same in every language."""
    quantities: Mapping[str, float]
    """Sums, never means: nats, tokens, bytes, sentences, kl_nats, entropy_nats, agreed ..."""
    source_language: str | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        for name, value in self.quantities.items():
            if not math.isfinite(value):
                raise ValueError(f"sample {self.group}: {name} is {value}, and only finite numbers are kept")


@dataclass(frozen=True)
class Estimate:
    """A finite value; its interval where one is honest, else ``method = "none"`` and no bounds."""

    value: float
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str = "none"
    """How the interval was made: ``t``, ``jackknife``, ``block bootstrap``, ``exact`` or ``none``."""
    df: float | None = None
    clusters: int | None = None
    """How many independent units (passages, windows, items) the interval rests on."""
    n: int | None = None
    """How many observations (tokens, items) the value folds."""

    def __post_init__(self) -> None:
        for name in ("value", "low", "high", "df"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ValueError(f"an estimate is finite by construction, but its {name} is {number}")

    def to_json(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if v is not None}


@dataclass(frozen=True)
class Measurement:
    """What a task returns for one cell: samples and the estimates folded from them."""

    samples: tuple[Sample, ...]
    estimates: Mapping[str, Estimate]
    notes: Mapping[str, str] = field(default_factory=dict)
    """Facts a reader needs beside the numbers: dtypes, protocol, layers left untouched and why."""
    conversations: tuple[Conversation, ...] = ()
    """What the model wrote, for a task that asks it to write."""
