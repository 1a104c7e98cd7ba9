"""The damage of one cell beside another, paired by item content, with its error by passage.

A side's value is V = scale * sum(numerator) / sum(denominator) over the items that all sides have. With s = +1 where
lower is better and -1 where higher is,

    absolute     d = s (V(q) - V(o))
    relative     d = s (V(q) - V(o)) / V(o)
    `none`       V(o) is what `none` has, or the constant that the metric has there (no KL divergence, even win rates)
    anchor       d(run, `none`) - d(first accepted, `none` of then)
    gap          d of a language - d of English, on the items that both have, by alignment id

Each is a function of column sums over passages, so that one delete-one-passage jackknife serves all. Windows of one
text (protocol ``gptq``) are no independent passages: there the jackknife's influences are block-bootstrapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from results.comparison_cells import Columns, Measured
from results.folds import Fold
from results.resampling import block_contrast
from results.statistics import Array, Contrast, Statistic, influences, jackknife


class NotComparable(ValueError):
    """Why two cells have no damage: a sentence to stand beside a rule."""


class Side(NamedTuple):
    """One measurement's items and sums: a run's cell, a baseline's, or a baseline's as it was accepted first."""

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    columns: Columns
    made: dict[tuple[object, ...], Array] | None = None
    """Matrices made of these columns before: many rules ask for the same."""


class Term(NamedTuple):
    """``weight`` times the damage of ``q`` beside ``o``; ``o`` None where the metric has a constant under `none`."""

    weight: float
    q: Side
    o: Side | None


class Scale(NamedTuple):
    """How a difference becomes a damage."""

    fold: Fold
    sign: float
    """+1: lower is better."""
    relative: bool


@dataclass(frozen=True)
class Damage:
    contrast: Contrast
    items: int
    """Paired on all sides."""
    lacking: int
    """Items of the other side that the run does not have."""
    extra: int
    """Items of the run that the other side does not have."""
    passages: tuple[str, ...]
    columns: Array
    """Float ``(passages, 2 a side)``: numerator and denominator of each side."""
    statistic: Statistic
    """What is computed of the columns' sums; a self-test computes it again under swapped labels."""


class _Everything(dict[int, list[int]]):
    """Number of items -> their places, each made once."""

    def __missing__(self, count: int) -> list[int]:
        self[count] = list(range(count))
        return self[count]


EVERYTHING = _Everything()


def side(cell: Measured, anchored: bool = False) -> Side:
    return Side(cell.ids, cell.groups, cell.anchored if anchored else cell.columns, cell.matrices)


def damage(languages: Sequence[Sequence[Term]], scale: Scale, windows: bool = False) -> Damage:
    """The damage in one language, or, given the terms of two, what the first suffers more than the second.

    Raises NotComparable where no item is shared, a side lacks the metric's sums, or a relative damage has no base.
    """
    names = [name for name in (scale.fold.numerator, scale.fold.denominator) if name]
    rows: list[list[Array]] = []
    groups: list[Sequence[str]] = []
    counts = []
    for terms in languages:
        sides = [one for term in terms for one in (term.q, term.o) if one is not None]
        for one in sides:
            if lacking := [name for name in names if name not in one.columns]:
                raise NotComparable(f"the items keep no {' and no '.join(lacking)}")
        chosen, lacking_items, extra = _shared(sides)
        every = chosen[0] is EVERYTHING[len(sides[0].ids)]
        groups.append(sides[0].groups if every else [sides[0].groups[i] for i in chosen[0]])
        rows.append([_pick(one, names, at) for one, at in zip(sides, chosen, strict=True)])
        counts.append((lacking_items, extra))
    if len(languages) == 2:
        rows, groups = _parallel(rows, groups)
    if not groups[0]:
        what = "no parallel item is shared with English" if len(languages) == 2 else "no item is shared"
        raise NotComparable(f"{what}, so there is nothing to pair")
    columns, passages = _by_passage(np.concatenate([one for of in rows for one in of], axis=1), groups[0])
    statistic = _statistic([len(terms) for terms in languages], languages, scale, columns)
    with np.errstate(divide="ignore", invalid="ignore"):
        contrast = _contrast(statistic, columns, windows)
    if not np.isfinite([contrast.value, contrast.se]).all():
        raise NotComparable(f"the items' {' or '.join(names)} add up to nothing once a passage is left out")
    lacking_items, extra = (max(of) for of in zip(*counts, strict=True))
    items = len(groups[0])
    return Damage(replace(contrast, n=items), items, lacking_items, extra, passages, columns, statistic)


def values(q: Side, o: Side, fold: Fold) -> tuple[float, float] | None:
    """The metric on both sides over the items they share; None where they share none."""
    names = [name for name in (fold.numerator, fold.denominator) if name]
    (at, other), _, _ = _shared([q, o])
    if not at or any(name not in one.columns for one in (q, o) for name in names):
        return None
    a, b = (_value(_pick(one, names, place).sum(axis=0), fold) for one, place in ((q, at), (o, other)))
    return float(a), float(b)


def _shared(sides: Sequence[Side]) -> tuple[list[list[int]], int, int]:
    """Where each side has the items that all have, in one order; and how many the first lacks, and has alone."""
    first = sides[0]
    if all(one.ids == first.ids for one in sides[1:]):
        return [EVERYTHING[len(first.ids)]] * len(sides), 0, 0
    places = [{name: i for i, name in enumerate(one.ids)} for one in sides]
    common = [name for name in first.ids if all(name in of for of in places)]
    others = set().union(*(of.keys() for of in places[1:]))
    extra = len(places[0].keys() - others)
    return [[of[name] for name in common] for of in places], len(others - places[0].keys()), extra


def _pick(one: Side, names: Sequence[str], at: Sequence[int]) -> Array:
    """Float ``(n, 2)``: numerator and denominator of the chosen items; the denominator 1 where items are counted."""
    key = (id(one.columns), *names)
    whole = one.made.get(key) if one.made is not None else None
    if whole is None:
        chosen = [one.columns[name] for name in names]
        whole = np.array([chosen[0], chosen[1] if len(chosen) > 1 else [1.0] * len(one.ids)], dtype=float).T
        if one.made is not None:
            one.made[key] = whole
    return whole if len(at) == len(whole) and at is EVERYTHING[len(at)] else whole[at]


def _parallel(rows: list[list[Array]], groups: list[Sequence[str]]) -> tuple[list[list[Array]], list[Sequence[str]]]:
    """Both languages on the alignment ids they share, in the order of the first."""
    if groups[0] == groups[1] and len(set(groups[0])) == len(groups[0]):
        return rows, groups
    places = [{name: i for i, name in enumerate(of)} for of in groups]
    common = [name for name in places[0] if name in places[1]]
    picked = [[one[[of[name] for name in common]] for one in sides] for sides, of in zip(rows, places, strict=True)]
    return picked, [common, common]


def _by_passage(columns: Array, groups: Sequence[str]) -> tuple[Array, tuple[str, ...]]:
    """Items of one passage (alignment ids ``passage#question``) summed, and the passages' names."""
    passages, places = _passages(tuple(groups))
    if len(passages) == len(groups):
        return columns, passages
    summed = np.zeros((len(passages), columns.shape[1]))
    np.add.at(summed, places, columns)
    return summed, passages


@lru_cache(maxsize=256)
def _passages(groups: tuple[str, ...]) -> tuple[tuple[str, ...], list[int]]:
    """The passages of items by alignment id, and each item's place among them; every rule asks for the same few."""
    names = [name.rpartition("#")[0] or name for name in groups]
    place = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return tuple(place), [place[name] for name in names]


def _value(sums: Array, fold: Fold) -> Array:
    ratio = fold.scale * sums[..., 0] / sums[..., 1]
    if fold.transform == "exp":
        return np.exp(ratio)
    return np.sqrt(np.maximum(ratio, 0.0)) if fold.transform == "root" else ratio


def _statistic(sizes: Sequence[int], languages: Sequence[Sequence[Term]], scale: Scale, columns: Array) -> Statistic:
    """The function of column sums that a rule bounds."""
    plan: list[tuple[float, int, int | None]] = []
    place = 0
    for number, terms in enumerate(languages):
        for term in terms:
            q, o = place, None if term.o is None else place + 1
            place += 1 if o is None else 2
            plan.append((term.weight if number == 0 else -term.weight, q, o))

    def value(sums: Array, at: int) -> Array:
        return _value(sums[..., 2 * at : 2 * at + 2], scale.fold)

    def reference(sums: Array, at: int | None) -> Array | float:
        return value(sums, at) if at is not None else float(scale.fold.null or 0.0)

    if scale.relative:
        total = columns.sum(axis=0)
        for _, _, o in plan:
            if not np.all(np.asarray(reference(total, o)) > 0):
                raise NotComparable("a relative margin needs something above 0 to be relative to; give `margin`")

    def statistic(sums: Array) -> Array:
        found = np.zeros(sums.shape[:-1])
        for weight, q, o in plan:
            base = reference(sums, o)
            lost = scale.sign * (value(sums, q) - base)
            found = found + weight * (lost / base if scale.relative else lost)
        return found

    return statistic


def _contrast(statistic: Statistic, columns: Array, windows: bool) -> Contrast:
    if not windows:
        return jackknife(statistic, columns)
    return block_contrast(influences(statistic, columns), np.ones(len(columns)))


def swapped_values(found: Damage, signs: Array) -> tuple[Array, Array]:
    """Value and standard error under label swaps: ``signs`` bool ``(trials, n)``, True where q and o change places.

    Only for damages of one term: columns are q's two and o's two (or, for a gap, those of both languages).
    """
    columns = found.columns
    blocks = columns.reshape(len(columns), -1, 2, 2)[:, :, ::-1].reshape(columns.shape)
    drawn = np.where(signs[..., None], blocks, columns)  # (trials, n, c)
    n = columns.shape[0]
    total = drawn.sum(axis=1)
    left_out = found.statistic(total[:, None, :] - drawn)
    deviation = left_out - left_out.mean(axis=1, keepdims=True)
    return found.statistic(total), np.sqrt((n - 1) / n * (deviation**2).sum(axis=1))


def passages_needed(contrast: Contrast, margin: float) -> int | None:
    """About how many passages let a variant without damage pass with 80% probability; None where nothing is known.

    (z(.975) + z(.80))^2 (SD/margin)^2, and two for Student's t.
    """
    if margin <= 0 or contrast.se <= 0 or contrast.df <= 0:
        return None
    sd = contrast.se * contrast.clusters**0.5
    return int(np.ceil(7.849 * (sd / margin) ** 2 + 2))


def tested(value: float, reference: float, sign: float, relative: bool) -> float:
    """The damage of two plain numbers. Raises NotComparable for a relative one with nothing to be relative to."""
    lost = sign * (value - reference)
    if not relative:
        return lost
    if reference <= 0:
        raise NotComparable("a relative margin needs something above 0 to be relative to; give `margin`")
    return lost / reference
