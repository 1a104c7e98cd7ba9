"""Right and wrong answers: McNemar's exact test, changes and gaps of accuracy, and what is at chance.

An item's score is 1 or 0 (accuracy), or any number where a smoother measure is at hand (the log-likelihood margin of
the right answer, in nats): margins move long before answers flip. Items that share a passage form a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from results.estimate import Sample
from results.resampling import sign_flip
from results.statistics import ALPHA, Array, Contrast, cluster_mean

Scores = Mapping[str, float]
"""Item -> score, the item's name being the same in every language and under every variant."""


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided exact p of H0: as many items turn from wrong to right as from right to wrong.

    Twice the smaller tail of Binomial(gained + lost, 1/2), capped at 1. It tests the net change only: flips are told
    as two counts beside it. For items that share passages take `resampling.sign_flip` by passage.
    """
    if gained < 0 or lost < 0:
        raise ValueError(f"{gained} and {lost} are no counts of items")
    return min(1.0, 2 * float(stats.binom.cdf(min(gained, lost), gained + lost, 0.5)))


def fewest_discordant(family: int = 1, alpha: float = ALPHA) -> int:
    """How many items must flip, all one way, before `mcnemar` can establish anything among ``family`` comparisons."""
    n = 1
    while family * mcnemar(0, n) > alpha:
        n += 1
    return n


def scores(samples: Sequence[Sample], name: str) -> dict[str, float]:
    """Item -> one of its quantities, such as ``correct`` or ``margin``; without the items that do not have it."""
    return {sample.group: sample.quantities[name] for sample in samples if name in sample.quantities}


def passage(group: str) -> str:
    """The passage that an item asks about, by its alignment id ``passage#question``; an item by itself is its own."""
    return group.rpartition("#")[0] or group


@dataclass(frozen=True, eq=False)
class Tested:
    """A mean difference of items with its t contrast over clusters."""

    contrast: Contrast
    values: Sequence[float]
    clusters: Sequence[object]

    @cached_property
    def p(self) -> float:
        """Of a sign-flip test, which assumes no normality; slow, and so made where it is asked for."""
        return sign_flip(self.values, self.clusters)


def change(variant: Scores, none: Scores, clusters: Mapping[str, object] | None = None) -> Tested:
    """The mean of variant - none over the items both have; ``clusters`` names each item's passage."""
    items = [item for item in variant if item in none]
    return _tested(items, [variant[item] - none[item] for item in items], clusters)


def gap(
    variant: Scores,
    none: Scores,
    variant_against: Scores,
    none_against: Scores,
    clusters: Mapping[str, object] | None = None,
) -> Tested:
    """The language gap on parallel items: mean of z = (q - o) of a language - (q - o) of English, paired by item.

    Negative: the language lost more. Raises ValueError without an item that all four have.
    """
    items = [item for item in variant if item in none and item in variant_against and item in none_against]
    z = [variant[item] - none[item] - (variant_against[item] - none_against[item]) for item in items]
    return _tested(items, z, clusters)


def above_chance(scores: Sequence[float] | Array, chance: float, clusters: Sequence[object] | None = None) -> float:
    """One-sided p of H0: the accuracy is at most ``chance``. Exact binomial; by clusters where items share passages.

    A loss of accuracy is "not measurable, at chance" where `none` is not above chance: what was never there cannot be
    lost.
    """
    x = np.asarray(scores, dtype=float)
    if not 0 < chance < 1:
        raise ValueError(f"chance is {chance}, and it lies between 0 and 1: one over the number of choices")
    if clusters is not None and len(set(clusters)) < len(x):
        return cluster_mean(x, clusters).p_greater(chance)
    return float(stats.binom.sf(int(x.sum()) - 1, len(x), chance))


def kept_share(variant: float, none: float, chance: float) -> float:
    """(acc_q - chance)/(acc_o - chance): the share of the ability above chance that is left; may exceed 1 or be < 0."""
    if none <= chance:
        raise ValueError(f"`none` has accuracy {none:.3f} and chance is {chance:.3f}: there is no ability to keep")
    return (variant - chance) / (none - chance)


def _tested(items: Sequence[str], values: Sequence[float], clusters: Mapping[str, object] | None) -> Tested:
    if not items:
        raise ValueError("no item was answered on both sides, so there is nothing to compare")
    names = [clusters[item] if clusters else item for item in items]
    return Tested(cluster_mean(values, names), values, names)
