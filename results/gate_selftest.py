"""The gate tried on nothing: a run whose labels `none` and variant are swapped at random, passage by passage.

After swapping there is no damage by construction, so every FAIL is a false alarm. The labels of a passage are swapped
in all languages, variants and rules at once, which keeps the checks as dependent as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from results.comparison_cells import Measured, couples
from results.comparison_damage import Paired, swapped_values
from results.folds import FOLDS
from results.gate_checks import Cells, find
from results.policy import Policy, Rule


class NothingToSwap(ValueError):
    """A run without `none`, or with fewer passages than the policy wants: one sentence."""


@dataclass(frozen=True)
class SelfTest:
    trials: int
    checks: int
    """Of every trial: the blocking rules that are paired by item, in each cell they meet."""
    passages: int
    alpha: float
    alarms_at_zero: int
    """Trials with any FAIL where every margin is 0, the harshest case: no damage is damage at the margin."""
    alarms: int
    """Trials with any FAIL at the policy's margins."""
    passes: int
    """Trials in which everything passes at the policy's margins."""

    @property
    def rate(self) -> float:
        return self.alarms_at_zero / self.trials

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's 95% interval of the rate."""
        k, n = self.alarms_at_zero, self.trials
        low = 0.0 if k == 0 else float(special.betaincinv(k, n - k + 1, 0.025))
        high = 1.0 if k == n else float(special.betaincinv(k + 1, n - k, 0.975))
        return low, high

    @property
    def is_sound(self) -> bool:
        """Whether the false-alarm rate is not above the policy's, as far as the trials can tell."""
        return self.interval[0] <= self.alpha


def self_test(policy: Policy, run: Sequence[Measured], trials: int = 1000, seed: int = 0) -> SelfTest:
    """Raises NothingToSwap."""
    cells = Cells(couples([], run), policy)
    if not cells.has_none:
        raise NothingToSwap(
            "the run has no finished cell of `none`, whose labels a self-test swaps; sweep again with `none`."
        )
    rules: dict[Rule, Rule] = {}
    for rule in policy.rules:
        if rule.tier == "block" and rule.is_paired and FOLDS[rule.metric].null is None:
            one = replace(rule, against="none", required=False, name="")
            alike = replace(one, margin=None if rule.relative else 0.0, relative_margin=0.0 if rule.relative else None)
            if alike not in rules or rules[alike].limit > rule.limit:  # of two margins the tighter one
                rules[alike] = one
    found, _ = find(replace(policy, rules=tuple(rules.values())), cells)
    swappable = [
        (one.rule, one.paired) for one in found if one.paired is not None and _has_enough(one.rule, one.paired)
    ]
    if not swappable:
        raise NothingToSwap(
            "no blocking rule pairs enough passages of this run with `none`: there is nothing to swap; see each "
            "rule's `minimum`."
        )
    passages = sorted({name for _, paired in swappable for name in paired.passages})
    signs = np.random.default_rng(seed).integers(0, 2, size=(trials, len(passages))).astype(bool)
    place = {name: i for i, name in enumerate(passages)}
    at_zero, at_margin, passed = [], [], np.ones(trials, dtype=bool)
    for rule, paired in swappable:
        columns = np.array([place[name] for name in paired.passages])
        value, se = swapped_values(paired, signs[:, columns])
        df = len(paired.passages) - 1
        at_zero.append(_upper_tail(value, se, df))
        at_margin.append(_upper_tail(value - rule.limit, se, df))
        passed &= _upper_tail(rule.limit - value, se, df) <= policy.alpha
    family = len(swappable)  # Holm rejects something exactly where the smallest p, times their number, is small enough
    alarms = [int((np.min(p, axis=0) * family <= policy.alpha).sum()) for p in (at_zero, at_margin)]
    return SelfTest(trials, family, len(passages), policy.alpha, alarms[0], alarms[1], int(passed.sum()))


def _has_enough(rule: Rule, paired: Paired) -> bool:
    return len(paired.passages) >= rule.minimum


def _upper_tail(value: np.ndarray, se: np.ndarray, df: int) -> np.ndarray:
    """One-sided p of "at most 0"; exact where nothing varies."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t = value / se
    return np.where(se > 0, special.stdtr(df, -np.nan_to_num(t)), np.where(value > 0, 0.0, 1.0))
