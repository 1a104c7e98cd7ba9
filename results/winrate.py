"""Win rates from judged duels: pure functions over games, with errors by question.

``games`` is float (questions, turns, orders): 1 the variant won, 1/2 a tie, 0 it lost, whichever slot it stood in; NaN
no readable verdict. The last axis holds the two orders of the same pair. Turns and orders of one question are alike,
so the question is the unit:

    score   s_q = mean over turns and orders            averaged: the estimate that decides
    rate    mean of s_q +- t SD/sqrt(questions)

`conservative` is FastChat's headline, where a win must be called in both orders: its ties shrink the rate towards 1/2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from results.estimate import Estimate
from results.statistics import LEVEL, Array, Contrast, mean


class Bounds(NamedTuple):
    """The rate if every game without a verdict had been lost, or won."""

    worst: float
    best: float


class Shares(NamedTuple):
    """How turns came out, both orders together; they sum to 1."""

    win: float
    """Won in both orders."""
    tie: float
    """A tie in both orders."""
    split: float
    """The orders disagree: a tie, too, in the conservative rate."""
    loss: float
    unread: float
    """No verdict in one order at least."""


def averaged(games: Array) -> Array:
    """Score of each question ``(questions,)``: mean over the turns read in every order; NaN where there is none.

    A turn with a verdict in one order only is left out, for it would carry the judge's liking of a slot.
    """
    return _over_turns(_checked(games).mean(axis=2))


def conservative(games: Array) -> Array:
    """As `averaged`, with a turn won or lost only if every order says so; anything else is a tie, 1/2."""
    x = _checked(games)
    agreed = (x == x[..., :1]).all(axis=2)
    turns = np.where(agreed, x[..., 0], 0.5)
    return _over_turns(np.where(np.isnan(x).any(axis=2), np.nan, turns))


def rate(scores: Array) -> Contrast:
    """The win rate: mean of the questions' scores, those without a verdict left out. Test it against 1/2."""
    return mean(_judged(scores))


def interval(rate: Contrast, level: float = LEVEL) -> Estimate:
    """A rate or a difference with its interval; without one where all questions came out alike, which says nothing of
    the spread."""
    found = rate.interval(level)
    return found if found.low != found.high else Estimate(found.value, clusters=found.clusters)


def bounds(games: Array) -> Bounds:
    """The averaged rate with every unreadable game counted against the variant, and for it: says what errors could."""
    x = _checked(games)
    return Bounds(*(float(np.where(np.isnan(x), verdict, x).mean()) for verdict in (0.0, 1.0)))


def shares(games: Array) -> Shares:
    """Of all turns: won, tied, split by the order, lost, and without a verdict."""
    x = _checked(games)
    same = (x == x[..., :1]).all(axis=2)
    unread = np.isnan(x).any(axis=2)
    parts = [same & (x[..., 0] == verdict) for verdict in (1.0, 0.5, 0.0)]
    win, tie, loss, none = (float(part.mean()) for part in (*parts, unread))
    return Shares(win, tie, float((~same & ~unread).mean()), loss, none)


def difference(a: Array, b: Array) -> Contrast:
    """How much more often ``a`` wins than ``b`` on the same questions, each against the same original: paired.

    Scores ``(questions,)`` in the same order. What makes a question hard for both drops out, so this sees smaller
    differences than two separate rates. Between two languages it is the gap of the win rate: comparable only where the
    judge's `consistency` and A/A `ties` are, and matched by id, not parallel, for MT-Bench and KoMT-Bench.
    """
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"scores have shapes {x.shape} and {y.shape}; both are one per question, in one order")
    return mean(_judged(x - y))


def consistency(games: Array) -> Contrast:
    """Share of turns on which both orders give one verdict."""
    x = _checked(games)
    if x.shape[2] != 2:
        raise ValueError(f"consistency compares two orders, and these games have {x.shape[2]}")
    same = np.where(np.isnan(x).any(axis=2), np.nan, x[..., 0] == x[..., 1])
    return mean(_judged(_over_turns(same)))


def first_slot_share(games: Array) -> float | None:
    """Of the turns won by opposite sides in the two orders, the share won by the first slot; None if there is none.

    Order 0 is the one with the variant in the first slot. 1/2: the judge is fickle, not biased.
    """
    x = _checked(games)
    first = np.count_nonzero((x[..., 0] == 1) & (x[..., 1] == 0))
    second = np.count_nonzero((x[..., 0] == 0) & (x[..., 1] == 1))
    return first / (first + second) if first + second else None


def ties(games: Array) -> Contrast:
    """Share of games called a tie. On `none` against its own second answers it is the A/A tie rate."""
    x = _checked(games)
    called = np.where(np.isnan(x), np.nan, x == 0.5)
    return mean(_judged(np.array([np.nanmean(of) if not np.isnan(of).all() else np.nan for of in called])))


def swapped(games: Array) -> Array:
    """The same games seen from the other model: every rate w becomes exactly 1 - w."""
    return 1.0 - _checked(games)


def decisive(scores: Array) -> int:
    """How many questions are not an even match."""
    x = _judged(scores)
    return int(np.count_nonzero(x != 0.5))


def _over_turns(turns: Array) -> Array:
    """(questions, turns) -> mean over the turns that have a value; NaN where none has."""
    known = ~np.isnan(turns)
    counts = known.sum(axis=1)
    sums = np.where(known, turns, 0.0).sum(axis=1)
    return np.divide(sums, counts, out=np.full(len(turns), np.nan), where=counts > 0)


def _judged(scores: Sequence[float] | Array) -> Array:
    x = np.asarray(scores, dtype=float)
    x = x[~np.isnan(x)]
    if not len(x):
        raise ValueError("no question was judged, so there is no win rate")
    return x


def _checked(games: Array) -> Array:
    x = np.asarray(games, dtype=float)
    if x.ndim != 3:
        raise ValueError(f"games have shape {x.shape}; it is (questions, turns, orders)")
    known = x[~np.isnan(x)]
    if not np.isin(known, (0.0, 0.5, 1.0)).all():
        odd = known[~np.isin(known, (0.0, 0.5, 1.0))][0]
        raise ValueError(f"a game counts 1, 0.5 or 0, or NaN without a verdict, and one is {odd:g}")
    return x
