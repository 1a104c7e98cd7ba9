"""The damage of one cell beside another, paired by item content, with its error by passage.

A side's value is V = scale * sum(numerator) / sum(denominator) over the items that all sides have. With s = +1 where
lower is better and -1 where higher is,

    absolute     d = s (V(q) - V(o))
    relative     d = s (V(q) - V(o)) / V(o)
    `none`       V(o) is what `none` has, or the constant that the metric has there (no KL divergence, even win rates)
    anchor       d(run, `none`) - d(first accepted, `none` of then)
    gap          d of a language - d of English, on the items that both have, by alignment id

Each is a function of column sums over passages, so that one delete-one-passage jackknife serves all, and thousands of
one shape are computed at once. Windows of one text (protocol ``gptq``) are no independent passages: there the
jackknife's influences are block-bootstrapped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from results.comparison_cells import Side
from results.folds import Fold
from results.resampling import block_contrast
from results.statistics import Array, Contrast, delete_one, influences

AT_ONCE = 1_000_000
"""Numbers of one batch: 8 MB, which a few times over stay in a processor's cache or near it."""
NO_BASE = "a relative margin needs something above 0 to be relative to; give `margin`"


class NotComparable(ValueError):
    """Why two cells have no damage: a sentence to stand beside a rule."""


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
class Lost:
    """What a rule bounds, as a function of column sums: the weighted damages of its terms, added up."""

    terms: tuple[tuple[float, bool], ...]
    """Of each term its weight, and whether its ``o`` has columns of its own."""
    scale: Scale

    def __call__(self, sums: Array) -> Array:
        """``(..., 2 a side)`` -> ``(...)``."""
        found = np.zeros(sums.shape[:-1])
        for (weight, _), (q, o) in zip(self.terms, self.values(sums), strict=True):
            lost = self.scale.sign * (q - o)
            found += weight * (lost / o if self.scale.relative else lost)
        return found

    def values(self, sums: Array) -> list[tuple[Array, Array]]:
        """The metric ``(...)`` of ``q`` and ``o`` in each term."""
        fold = self.scale.fold
        value = fold.scale * sums[..., 0::2] / sums[..., 1::2]
        if fold.transform == "exp":
            value = np.exp(value)
        elif fold.transform == "root":
            value = np.sqrt(np.maximum(value, 0.0))
        sides = iter(np.moveaxis(value, -1, 0))
        constant = np.full(sums.shape[:-1], fold.null or 0.0)
        return [(next(sides), next(sides) if has_own else constant) for _, has_own in self.terms]


@dataclass(frozen=True, eq=False)
class Paired:
    """The items of all sides, brought together by passage."""

    items: int
    """Paired on all sides."""
    lacking: int
    """Items of the other side that the run does not have."""
    extra: int
    """Items of the run that the other side does not have."""
    passages: tuple[str, ...]
    columns: Array
    """Float ``(passages, 2 a side)``: numerator and denominator of each side."""
    lost: Lost
    """What is computed of the columns' sums; a self-test computes it again under swapped labels."""
    windows: bool = False


class Damage(NamedTuple):
    contrast: Contrast
    value: float
    """The metric in the run, on the items that were paired."""
    reference: float
    """The same on the other side."""


def pair(languages: Sequence[Sequence[Term]], scale: Scale, windows: bool = False) -> Paired:
    """The terms of one language, or of two: what the first suffers more than the second.

    Raises NotComparable where no item is shared or a side lacks the metric's sums.
    """
    names = [name for name in (scale.fold.numerator, scale.fold.denominator) if name]
    rows: list[list[Array]] = []
    groups: list[Sequence[str]] = []
    counts = []
    for terms in languages:
        sides = [one for term in terms for one in (term.q, term.o) if one is not None]
        whole = [_matrix(one, names) for one in sides]
        chosen, lacking_items, extra = _shared(sides)
        if chosen is None:
            groups.append(sides[0].groups)
            rows.append(whole)
        else:
            groups.append([sides[0].groups[i] for i in chosen[0]])
            rows.append([one[at] for one, at in zip(whole, chosen, strict=True)])
        counts.append((lacking_items, extra))
    if len(languages) == 2:
        rows, groups = _parallel(rows, groups)
    if not groups[0]:
        what = "no parallel item is shared with English" if len(languages) == 2 else "no item is shared"
        raise NotComparable(f"{what}, so there is nothing to pair")
    columns, passages = _by_passage(np.concatenate([one for of in rows for one in of], axis=1), groups[0])
    signed = zip((1.0, -1.0), languages, strict=False)
    plan = tuple((sign * term.weight, term.o is not None) for sign, terms in signed for term in terms)
    lacking_items, extra = (max(of) for of in zip(*counts, strict=True))
    return Paired(len(groups[0]), lacking_items, extra, passages, columns, Lost(plan, scale), windows)


def damage(languages: Sequence[Sequence[Term]], scale: Scale, windows: bool = False) -> Damage:
    """The damage of one pair. Raises NotComparable."""
    (found,) = damages([pair(languages, scale, windows)])
    if isinstance(found, NotComparable):
        raise found
    return found


def damages(paired: Sequence[Paired]) -> list[Damage | NotComparable]:
    """The damage of each, or why it has none: a relative one without a base, sums of nothing."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for i, one in enumerate(paired):
        alike.setdefault((one.lost, one.windows, one.columns.shape), []).append(i)
    found: dict[int, Damage | NotComparable] = {}
    for places in alike.values():
        size = max(1, AT_ONCE // paired[places[0]].columns.size)
        for start in range(0, len(places), size):
            some = places[start : start + size]
            found.update(zip(some, _computed([paired[i] for i in some]), strict=True))
    return [found[i] for i in range(len(paired))]


def _computed(paired: Sequence[Paired]) -> list[Damage | NotComparable]:
    """The damages of pairs that are alike in shape and in what is computed."""
    lost, windows = paired[0].lost, paired[0].windows
    columns = np.stack([one.columns for one in paired])
    clusters = columns.shape[1]
    sums = columns.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        sides = lost.values(sums)
        if windows:
            blocks = [block_contrast(influences(lost, one), np.ones(clusters)) for one in columns]
            contrasts = [replace(of, n=one.items) for of, one in zip(blocks, paired, strict=True)]
        else:
            pairs = zip(*(of.tolist() for of in delete_one(lost, columns)), paired, strict=True)
            contrasts = [
                Contrast(value, se, clusters - 1, clusters, "jackknife", one.items) for value, se, one in pairs
            ]
    is_based = np.all([o > 0 for _, o in sides], axis=0).tolist() if lost.scale.relative else [True] * len(paired)
    found: list[Damage | NotComparable] = []
    for contrast, based, q, o in zip(contrasts, is_based, *map(np.ndarray.tolist, sides[0]), strict=True):
        if not based:
            found.append(NotComparable(NO_BASE))
        elif not (math.isfinite(contrast.value) and math.isfinite(contrast.se)):
            names = " or ".join(name for name in (lost.scale.fold.numerator, lost.scale.fold.denominator) if name)
            found.append(NotComparable(f"the items' {names} add up to nothing once a passage is left out"))
        else:
            found.append(Damage(contrast, q, o))
    return found


def _shared(sides: Sequence[Side]) -> tuple[list[list[int]] | None, int, int]:
    """Where each side has the items that all have, in one order; and how many the first lacks, and has alone.

    None where all have the same items in the same order.
    """
    first = sides[0]
    if all(one.ids == first.ids for one in sides):
        return None, 0, 0
    places = [{name: i for i, name in enumerate(one.ids)} for one in sides]
    common = [name for name in first.ids if all(name in of for of in places)]
    others = set().union(*(of.keys() for of in places[1:]))
    extra = len(places[0].keys() - others)
    return [[of[name] for name in common] for of in places], len(others - places[0].keys()), extra


def _matrix(one: Side, names: Sequence[str]) -> Array:
    """Float ``(n, 2)``: numerator and denominator of the items; the denominator 1 where items are counted.

    Raises NotComparable where the side lacks one of the two.
    """
    key = tuple(names)
    if key not in one.made:
        if lacking := [name for name in names if name not in one.columns]:
            raise NotComparable(f"the items keep no {' and no '.join(lacking)}")
        chosen = [one.columns[name] for name in names]
        one.made[key] = np.array([chosen[0], chosen[1] if len(chosen) > 1 else [1.0] * len(one.ids)], dtype=float).T
    found: Array = one.made[key]
    return found


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


def swapped_values(paired: Paired, signs: Array) -> tuple[Array, Array]:
    """Value and standard error under label swaps: ``signs`` bool ``(trials, n)``, True where q and o change places.

    Only for damages of one term: columns are q's two and o's two (or, for a gap, those of both languages).
    """
    columns = paired.columns
    blocks = columns.reshape(len(columns), -1, 2, 2)[:, :, ::-1].reshape(columns.shape)
    return delete_one(paired.lost, np.where(signs[..., None], blocks, columns))


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
        raise NotComparable(NO_BASE)
    return lost / reference
