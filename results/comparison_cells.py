"""One measured cell with its items, from a run or from a baseline: what a gate compares, and which cell with which."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from results.again import asks_again
from results.cell import Cell, Scalar, Variant
from results.environment import Environment
from results.estimate import Estimate
from results.folds import quantities
from results.labels import labels
from results.record import Record
from results.store import Run, without_collector

Columns = Mapping[str, tuple[float, ...]]
"""Quantity -> one value per item."""


@dataclass(frozen=True, eq=False)
class Side:
    """One measurement's items and sums: a run's cell, a baseline's, or a baseline's as it was accepted first."""

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    columns: Columns
    made: dict[tuple[str, ...], Any] = field(default_factory=dict, repr=False)
    """Matrices made of these columns before: many rules ask for the same."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A cell, what came out, and the sums per item that its metrics are made of."""

    cell: Cell
    status: str
    reason: str | None = None
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    artifact: str | None = None
    created: str | None = None
    environment: Environment | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    """Content hashes of the items: what pairs them."""
    groups: tuple[str, ...] = ()
    """Alignment ids of the items, the same in every language: what pairs languages."""
    columns: Columns = field(default_factory=dict)
    anchor: Columns | None = None
    """The columns that were accepted first, on the same items; None where they are the present ones, and in a run."""

    @cached_property
    def side(self) -> Side:
        return Side(self.ids, self.groups, self.columns)

    @cached_property
    def anchored(self) -> Side:
        """As it was accepted first."""
        return self.side if self.anchor is None else Side(self.ids, self.groups, self.anchor)

    @cached_property
    def setting(self) -> tuple[object, ...]:
        """What cells of several languages and variants share where they were measured in one way."""
        cell, variant = self.cell, self.cell.variant
        return (cell.task, tuple(sorted(cell.params.items())), variant.weights, variant.dtype, variant.device)


def rounded(value: float) -> float:
    """Ten significant digits: what a baseline keeps, so that a run is rounded alike before it is compared with one."""
    if -1e10 < value < 1e10 and value == int(value):  # a count, as most sums are: ten times as fast
        return float(value)
    return float(f"{value:.10g}")


def from_record(run: Run, record: Record) -> Measured:
    """Raises UnreadableRun where the samples are damaged."""
    rows = run.sample_rows(record.cell.key) if record.status == "ok" else []
    names, needed = quantities(tuple(record.estimates))
    if needed:
        rows = [row for row in rows if all(name in row["quantities"] for name in needed)]
    sums = [row["quantities"] for row in rows]
    kept = [name for name in names if any(name in of for of in sums)]
    return Measured(
        cell=record.cell,
        status=record.status,
        reason=record.reason,
        estimates=record.estimates,
        artifact=record.artifact,
        created=record.created,
        environment=run.environment(record.environment) if record.environment else None,
        notes=record.notes,
        ids=tuple([row["id"] for row in rows]) if kept else (),
        groups=tuple([row["group"] for row in rows]) if kept else (),
        columns={name: tuple([rounded(of.get(name, 0.0)) for of in sums]) for name in kept},
    )


def from_run(run: Run) -> list[Measured]:
    """Every cell of a run, by its latest record, in the order of the run; of items answered twice the first answers."""
    with without_collector():  # it would walk the samples of two thousand records again and again
        return [from_record(run, record) for record in run.records() if not asks_again(record.cell)]


@dataclass(frozen=True)
class Place:
    """What a rule speaks of: one cell by names that outlive an upgrade of a method."""

    variant: str
    """Its label among all variants, such as ``awq 4-bit``."""
    method: str
    task: str
    language: str
    params: Mapping[str, Scalar] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return f"{self.variant}, {self.task}" + (f", {self.language}" if self.language != "und" else "")


@dataclass(frozen=True, eq=False)
class Couple:
    """A cell as it was expected and as it was found; one of the two may be lacking."""

    place: Place
    expected: Measured | None
    found: Measured | None

    @property
    def either(self) -> Measured:
        side = self.found or self.expected
        assert side is not None  # a couple is made of at least one
        return side


def stripped(variant: Variant) -> Variant:
    """A variant without what an upgrade may change while it stays the same choice of a user."""
    return replace(
        variant,
        weights="",
        code=0,
        dtype="",
        device="",
        revision=None,
        calibration=None if variant.calibration is None else variant.calibration_label or "",
    )


def couples(expected: Iterable[Measured], found: Iterable[Measured]) -> list[Couple]:
    """Each expected cell beside the found one that is most like it, then the found ones that nobody expected.

    Two cells are of one kind if method, parameters, calibration text's label, draw, seed, task and language agree;
    among several of a kind those of one model, of the same task parameters and of the same machine class go together.
    """
    expected, found = list(expected), list(found)
    kinds: dict[tuple[str, str, str], tuple[list[Measured], list[Measured]]] = {}
    keys: dict[str, str] = {}
    for number, side in ((0, expected), (1, found)):
        for one in side:
            kinds.setdefault(_kind(one.cell, keys), ([], []))[number].append(one)
    named = _labels([*expected, *found])
    coupled = []
    for ours, theirs in kinds.values():
        pairs = _assign(ours, theirs)
        coupled += [Couple(_place(a or b, named), a, b) for a, b in pairs]
    return coupled


def _kind(cell: Cell, keys: dict[str, str]) -> tuple[str, str, str]:
    """Hashing a variant is slow beside all else, so it is done once for each."""
    key = cell.variant.key
    if key not in keys:
        keys[key] = stripped(cell.variant).key
    return keys[key], cell.task, cell.language


def _assign(expected: Sequence[Measured], found: Sequence[Measured]) -> list[tuple[Measured | None, Measured | None]]:
    if len(expected) == len(found) == 1:
        return [(expected[0], found[0])]
    order = sorted(
        ((_likeness(a.cell, b.cell), -i, -j) for i, a in enumerate(expected) for j, b in enumerate(found)),
        reverse=True,
    )
    taken: dict[int, int] = {}
    for _, i, j in order:
        if -i not in taken and -j not in taken.values():
            taken[-i] = -j
    pairs: list[tuple[Measured | None, Measured | None]] = [
        (one, found[taken[i]] if i in taken else None) for i, one in enumerate(expected)
    ]
    return pairs + [(None, one) for j, one in enumerate(found) if j not in taken.values()]


def _likeness(a: Cell, b: Cell) -> tuple[int, ...]:
    same_params = sum(a.params.get(name) == b.params.get(name) for name in {*a.params, *b.params})
    return (
        a.variant.weights == b.variant.weights,
        a.params == b.params,
        same_params,
        a.text == b.text,
        a.variant.dtype == b.variant.dtype,
        a.variant.device == b.variant.device,
        a.variant.calibration == b.variant.calibration,
        a.variant.code == b.variant.code,
    )


def _labels(cells: Collection[Measured]) -> dict[str, str]:
    """Variant key -> label; two variants that differ only by an upgrade have one."""
    variants = {one.cell.variant.key: one.cell.variant for one in cells}
    several = len({variant.weights for variant in variants.values()}) > 1
    models = len({variant.model for variant in variants.values()}) > 1
    plain = {
        key: replace(stripped(variant), weights=variant.model if several and models else "")
        for key, variant in variants.items()
    }
    named = labels(plain.values())
    return {key: named[variant.key] for key, variant in plain.items()}


def _place(one: Measured | None, named: Mapping[str, str]) -> Place:
    assert one is not None
    cell = one.cell
    return Place(named[cell.variant.key], cell.variant.method, cell.task, cell.language, cell.params)
