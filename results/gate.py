"""Baseline, run and policy -> verdicts, with the tests of a release: three states, Holm, nothing missing ever passes.

    pass           one-sided p of H0 "damage >= margin" is at most alpha, uncorrected: the run passes if all pass, which
                   is an intersection and needs no correction
    fail           the Holm-adjusted one-sided p of H0 "damage <= margin" is at most alpha: the run fails if any rule
                   fails, which is a union and needs one; the family is all blocking checks (of warnings: all warnings)
    inconclusive   neither; also where fewer passages were paired than the rule's minimum
    missing        nothing was compared: p is 1 for both claims, and the run does not pass

A standard error of 0 (a run against itself) compares the value with the margin; so do numbers without items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from scipy import special

from results.comparison import Mismatch, gathered, staleness
from results.comparison_cells import Measured, Place, couples
from results.comparison_damage import passages_needed
from results.gate_checks import Cells, Found, find, reference_moved
from results.metric import METRICS
from results.multiplicity import holm
from results.policy import Policy, Rule
from results.statistics import Array, Contrast
from results.store import without_collector

State = Literal["pass", "fail", "inconclusive", "missing"]
TIERS = ("block", "warn", "info")
ORDER: tuple[State, ...] = ("fail", "missing", "inconclusive", "pass")


class Incompatible(ValueError):
    """The baseline is of something else altogether: one sentence with what to do."""


@dataclass(frozen=True)
class Check:
    """One rule in one cell, judged."""

    rule: Rule
    place: Place
    state: State
    damage: float | None = None
    low: float | None = None
    high: float | None = None
    value: float | None = None
    reference: float | None = None
    items: int = 0
    passages: int = 0
    lacking: int = 0
    exact: bool = False
    p_pass: float = 1.0
    p_fail: float = 1.0
    p_fail_adjusted: float = 1.0
    note: str = ""
    needed: int | None = None
    """About how many passages would let a variant without damage pass."""

    @property
    def unit(self) -> str:
        return "%" if self.rule.relative else METRICS[self.rule.metric].unit


@dataclass(frozen=True)
class Gate:
    policy: Policy
    checks: tuple[Check, ...]
    mismatches: tuple[tuple[Mismatch, int], ...]
    not_compared: tuple[str, ...]
    """What was measured or expected and stands under no verdict."""
    stale: tuple[str, ...]
    warnings: tuple[str, ...]

    def of(self, tier: str, state: str) -> list[Check]:
        return [check for check in self.checks if check.rule.tier == tier and check.state == state]

    @property
    def state(self) -> State:
        """What the blocking checks say together."""
        states = {check.state for check in self.checks if check.rule.tier == "block"}
        if not states:
            return "missing"
        return next(state for state in ORDER if state in states)

    @property
    def is_stale(self) -> bool:
        """Whether staleness blocks."""
        return bool(self.stale) and self.policy.stale == "block"


def make_gate(
    policy: Policy, baseline: Sequence[Measured], run: Sequence[Measured], now: datetime | None = None
) -> Gate:
    """Compare and judge. Raises Incompatible where the baseline is of other models altogether."""
    found = couples(baseline, run)
    weights = [{one.cell.variant.weights for one in side} for side in (baseline, run)]
    if baseline and not weights[0] & weights[1]:
        names = [sorted({one.cell.variant.model for one in side}) for side in (baseline, run)]
        raise Incompatible(
            f"The baseline was saved for {_listed(names[0])} and the run measured {_listed(names[1])}: their weights "
            "differ, so nothing can be compared. Save a baseline of this model: langgap baseline save RUN --out FILE"
        )
    cells = Cells(found, policy)
    with without_collector():
        checks, left = find(policy, cells)
    moved = reference_moved(found)
    warnings = [
        f"`none` itself reads otherwise than in the baseline: {name} in {count} cells; the engine or the texts changed"
        for name, count in moved.items()
    ]
    if not cells.has_none and any(rule.against != "baseline" for rule in policy.rules):
        warnings.append(
            "the run has no finished cell of `none`, so no rule against `none` or the anchor can be checked; "
            'sweep again with [[method]] name = "none"'
        )
    gone = {str(c.place): c for c in found if c.found is None or c.found.status != "ok"}
    left = [*(f"{place}: {_gone(c.found)}" for place, c in gone.items()), *left]
    return Gate(
        policy,
        tuple(judge(checks, policy)),
        tuple(gathered(cells.mismatches)),
        tuple(dict.fromkeys(left)),
        tuple(staleness(baseline, policy.max_age_days, now or datetime.now(UTC))),
        (*warnings, *policy.remarks),
    )


def judge(found: Sequence[Found], policy: Policy) -> list[Check]:
    """The verdict of every check: Holm within each tier, missing checks included with p = 1."""
    margins = np.array([one.rule.limit for one in found])
    p_pass, p_fail = probabilities([one.damage for one in found], margins)
    for i, one in enumerate(found):
        if one.exact and one.damage is not None:
            p_pass[i], p_fail[i] = _compared(one.damage.value, one.rule.limit)
        elif _too_few(one):
            p_pass[i] = p_fail[i] = 1.0
    adjusted = np.ones(len(found))
    for tier in TIERS:
        family = [i for i, one in enumerate(found) if one.rule.tier == tier]
        adjusted[family] = holm([float(p_fail[i]) for i in family])
    half = _half_widths([one.damage for one in found], policy.alpha)
    return [
        _judged(one, policy, float(a), float(b), float(c), float(h), found)
        for one, a, b, c, h in zip(found, p_pass, p_fail, adjusted, half, strict=True)
    ]


def probabilities(damages: Sequence[Contrast | None], margins: Array) -> tuple[Array, Array]:
    """(p of H0 damage >= margin, p of H0 damage <= margin) ``(n,)``; 1 and 1 where there is no damage or no spread."""
    value, se, df = _columns(damages)
    known = np.isfinite(value) & (df > 0)
    above, below = np.ones(len(value)), np.ones(len(value))
    exact = known & (se == 0)
    below[exact] = np.where(value[exact] <= margins[exact], 0.0, 1.0)
    above[exact] = 1.0 - below[exact]
    spread = known & (se > 0)
    t = (value[spread] - margins[spread]) / se[spread]
    below[spread], above[spread] = special.stdtr(df[spread], t), special.stdtr(df[spread], -t)
    return below, above


def _compared(value: float, margin: float) -> tuple[float, float]:
    return (0.0, 1.0) if value <= margin else (1.0, 0.0)


def _half_widths(damages: Sequence[Contrast | None], alpha: float) -> Array:
    """Half the two-sided interval of level 1 - 2 alpha: what the two one-sided tests read off; NaN without a spread."""
    _, se, df = _columns(damages)
    return np.where(df > 0, special.stdtrit(np.maximum(df, 1), 1 - alpha) * se, np.nan)


def _columns(damages: Sequence[Contrast | None]) -> tuple[Array, Array, Array]:
    rows = [(np.nan, 0.0, 0.0) if one is None else (one.value, one.se, one.df) for one in damages]
    value, se, df = np.array(rows, dtype=float).reshape(-1, 3).T
    return value, se, df


def _too_few(one: Found) -> bool:
    return one.damage is not None and not one.exact and one.damage.clusters < one.rule.minimum


def _judged(
    one: Found, policy: Policy, p_pass: float, p_fail: float, adjusted: float, half: float, family: Sequence[Found]
) -> Check:
    rule = one.rule
    if one.damage is None:
        return Check(rule, one.place, "missing", note=one.missing)
    contrast = one.damage
    cut = one.lacking > policy.max_unmatched * (one.items + one.lacking)
    notes = []
    if _too_few(one):
        notes.append(
            f"{contrast.clusters} {counted(one.place.task)} were paired, and the rule wants {rule.minimum} or more"
        )
    if cut:
        notes.append(f"the run has {one.items} of {one.items + one.lacking} items, so it cannot pass")
    state: State = "inconclusive"
    if adjusted <= policy.alpha:
        state = "fail"
    elif p_pass <= policy.alpha and not cut:
        state = "pass"
    elif p_fail <= policy.alpha:
        size = sum(other.rule.tier == rule.tier for other in family)
        notes.append(f"fails alone (p = {p_fail:.2g}), not after Holm's correction over {size} checks")
    bounds = (None, None) if np.isnan(half) else (contrast.value - half, contrast.value + half)
    return Check(
        rule=rule,
        place=one.place,
        state=state,
        damage=contrast.value,
        low=bounds[0],
        high=bounds[1],
        value=one.value,
        reference=one.reference,
        items=one.items,
        passages=0 if one.exact else contrast.clusters,
        lacking=one.lacking,
        exact=one.exact,
        p_pass=p_pass,
        p_fail=p_fail,
        p_fail_adjusted=adjusted,
        note="; ".join(notes),
        needed=passages_needed(contrast, rule.limit) if state == "inconclusive" else None,
    )


def counted(task: str) -> str:
    """What a task's clusters are called."""
    return {"zeroshot": "items", "pairwise": "questions"}.get(task, "passages")


def _gone(found: Measured | None) -> str:
    return "in the baseline, not in the run" if found is None else f"{found.status} in the run: {found.reason}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "nothing"
