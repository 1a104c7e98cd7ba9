"""Win rates on parts of the questions, by category and by turn: a table to explore, which supports no claim.

Categories hold few questions each, so their intervals are wide. p values are Benjamini and Hochberg's over all parts in
all languages of one variant, opponent and judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from results import winrate
from results.estimate import Estimate, Sample
from results.multiplicity import benjamini_hochberg
from results.resampling import sign_flip

EVEN = 0.5


@dataclass(frozen=True)
class Part:
    """The win rate on the questions of one category, or on one turn of all questions."""

    kind: Literal["category", "turn"]
    name: str
    """The category, or the turn's number."""
    rate: Estimate
    """Averaged over orders, and over turns in a category; by question."""
    questions: int
    p: float
    """Sign flips by question, of an even match."""
    p_adjusted: float = 1.0


def parts(samples: Sequence[Sample], categories: Mapping[str, str]) -> tuple[Part, ...]:
    """The parts of one pairwise cell, categories first. ``categories``: sample id -> category, of those known."""
    found: dict[tuple[Literal["category", "turn"], str], list[float]] = {}
    for sample in samples:
        if "score" in sample.quantities and sample.id in categories:
            found.setdefault(("category", categories[sample.id]), []).append(sample.quantities["score"])
    turns = sorted({name for sample in samples for name in sample.quantities if name.startswith("score_")})
    for turn in turns:
        found["turn", turn.removeprefix("score_")] = [
            sample.quantities[turn] for sample in samples if turn in sample.quantities
        ]
    return tuple(
        Part(
            *part,
            winrate.interval(winrate.rate(np.array(scores))),
            len(scores),
            sign_flip([score - EVEN for score in scores]),
        )
        for part, scores in found.items()
    )


def explored(of_cells: Sequence[Sequence[Part]]) -> list[tuple[Part, ...]]:
    """The parts of several cells with their adjusted p values, one family together."""
    adjusted = iter(benjamini_hochberg([part.p for cell in of_cells for part in cell]))
    return [tuple(replace(part, p_adjusted=next(adjusted)) for part in cell) for cell in of_cells]
