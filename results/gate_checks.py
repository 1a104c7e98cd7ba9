"""From rules and cells to checks: each rule in each cell it meets, with its damage, before anything is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from results.comparison import Mismatch, mismatches
from results.comparison_cells import Couple, Measured, Place, Side
from results.comparison_damage import (
    Damage,
    NotComparable,
    Paired,
    Scale,
    Term,
    damages,
    pair,
    tested,
)
from results.folds import FOLDS
from results.policy import ENGLISH, Policy, Rule
from results.statistics import Contrast


@dataclass(frozen=True, eq=False)
class Found:
    """One rule in one cell: its damage, or why there is none."""

    rule: Rule
    place: Place
    damage: Contrast | None = None
    """Standard error 0 and no degrees of freedom where two plain numbers were compared."""
    exact: bool = False
    items: int = 0
    lacking: int = 0
    """Items of the other side that the run lacks."""
    value: float | None = None
    """The metric in the run, on the items that were paired."""
    reference: float | None = None
    """The metric on the other side."""
    missing: str = ""
    """Why nothing was compared."""
    paired: Paired | None = None


class Cells:
    """Couples by what rules ask for: the cell itself, `none` beside it, English beside it."""

    def __init__(self, found: Sequence[Couple], policy: Policy) -> None:
        self.all = [couple for couple in found if couple.place.method != "none"]
        self.mismatches: list[tuple[Couple, Mismatch]] = [
            (couple, one) for couple in found for one in mismatches(couple, policy.max_unmatched)
        ]
        self._fatal: dict[int, str] = {}
        for couple, one in self.mismatches:
            if one.severity == "fatal":
                self._fatal.setdefault(id(couple), one.sentence)
        self._none: dict[tuple[object, ...], dict[str, Measured]] = {}
        self._english: dict[tuple[object, ...], Couple] = {}
        for couple in found:
            for when, cell in (("run", couple.found), ("baseline", couple.expected)):
                if cell is not None and couple.place.method == "none" and cell.status == "ok":
                    self._none.setdefault((*cell.setting, couple.place.language), {})[when] = cell
            if couple.place.language == ENGLISH:
                self._english[couple.place.variant, *couple.either.setting] = couple
        self.has_none = any(of.get("run") for of in self._none.values())

    def english(self, couple: Couple) -> Couple | None:
        return self._english.get((couple.place.variant, *couple.either.setting))

    def none(self, one: Measured, when: str) -> Measured | None:
        return self._none.get((*one.setting, one.cell.language), {}).get(when)

    def obstacle(self, couple: Couple, rule: Rule) -> str:
        """Why a couple cannot be compared under a rule; empty where it can."""
        if couple.found is None:
            return "the run has no such cell"
        if couple.found.status != "ok":
            return f"{couple.found.status} in the run: {couple.found.reason}"
        if rule.against != "none" and couple.expected is not None and id(couple) in self._fatal:
            return f"not comparable with the baseline: {self._fatal[id(couple)]}"
        if rule.metric not in couple.found.estimates:
            return f"the run has no {rule.metric} here"
        errors = couple.found.estimates.get("errors")
        if errors is not None and errors.value > rule.max_errors:
            return f"{errors.value:.1%} of its judgements failed, and the rule allows {rule.max_errors:.1%}"
        return ""


def find(policy: Policy, cells: Cells) -> tuple[list[Found], list[str]]:
    """Every check of a policy, and what was left uncompared: one sentence each."""
    checks: list[Found] = []
    left: list[str] = []
    new: dict[str, int] = {}
    for rule in policy.rules:
        met = [couple for couple in cells.all if _applies(rule, couple)]
        if not met and not rule.required:
            left.append(f"rule '{rule.title}' meets no cell of this run and is not required")
        elif not met:
            nowhere = Place("(no variant)", rule.method, rule.task, rule.language)
            checks.append(Found(rule, nowhere, missing="no cell of baseline or run meets this rule"))
        scale = Scale(FOLDS[rule.metric], rule.sign, rule.relative) if rule.is_paired else None
        for couple in met:
            if couple.expected is None and rule.against != "none":
                new[str(couple.place)] = new.get(str(couple.place), 0) + 1
                continue
            checks.append(_check(rule, scale, couple, cells))
    left += [f"{place}: not in the baseline; `langgap baseline update` adds it" for place in new]
    return _computed(checks), left


def _computed(checks: Sequence[Found]) -> list[Found]:
    """The checks with their damages: those of a kind are computed at once."""
    found = iter(damages([one.paired for one in checks if one.paired is not None]))
    return [one if one.paired is None else _filled(one, next(found)) for one in checks]


def _filled(one: Found, found: Damage | NotComparable) -> Found:
    if isinstance(found, NotComparable):
        return Found(one.rule, one.place, missing=str(found))
    return replace(one, damage=found.contrast, value=found.value, reference=found.reference)


def _applies(rule: Rule, couple: Couple) -> bool:
    place = couple.place
    if not rule.meets(place.task, place.language, place.method, place.variant):
        return False
    return any(one is not None and rule.metric in one.estimates for one in (couple.expected, couple.found))


def _check(rule: Rule, scale: Scale | None, couple: Couple, cells: Cells) -> Found:
    if reason := cells.obstacle(couple, rule):
        return Found(rule, couple.place, missing=reason)
    try:
        return _paired(rule, scale, couple, cells) if scale is not None else _exact(rule, couple, cells)
    except NotComparable as error:
        return Found(rule, couple.place, missing=str(error))


def _exact(rule: Rule, couple: Couple, cells: Cells) -> Found:
    assert couple.found is not None  # obstacle has looked
    other = couple.expected if rule.against == "baseline" else cells.none(couple.found, "run")
    if other is None or rule.metric not in other.estimates:
        raise NotComparable(f"{_name(rule)} has no {rule.metric} here")
    now, then = couple.found.estimates[rule.metric].value, other.estimates[rule.metric].value
    lost = tested(now, then, rule.sign, rule.relative)
    return Found(rule, couple.place, Contrast(lost, 0.0, 0, 1, "none"), True, value=now, reference=then)


def _paired(rule: Rule, scale: Scale, couple: Couple, cells: Cells) -> Found:
    english = cells.english(couple) if rule.gap else None
    if rule.gap:
        if english is None:
            raise NotComparable("this variant was not measured in English, which a gap is counted from")
        if reason := cells.obstacle(english, rule):
            raise NotComparable(f"English: {reason}")
    windows = couple.either.cell.params.get("protocol") == "gptq"
    if windows and rule.gap:
        raise NotComparable("windows of joined text are not parallel between languages")
    of = [couple] if english is None else [couple, english]
    paired = pair([_terms(rule, one, cells) for one in of], scale, windows)
    return Found(rule, couple.place, items=paired.items, lacking=paired.lacking, paired=paired)


def _terms(rule: Rule, couple: Couple, cells: Cells) -> list[Term]:
    now, then = couple.found, couple.expected
    assert now is not None  # obstacle has looked
    if rule.against == "baseline":
        if then is None:
            raise NotComparable(f"{couple.place}: not in the baseline")
        return [Term(1.0, now.side, then.side)]
    terms = [Term(1.0, now.side, _none(rule, now, cells, "run"))]
    if rule.against == "anchor":
        if then is None:
            raise NotComparable(f"{couple.place}: not in the baseline")
        terms.append(Term(-1.0, then.anchored, _none(rule, then, cells, "baseline")))
    return terms


def _none(rule: Rule, one: Measured, cells: Cells, when: str) -> Side | None:
    if FOLDS[rule.metric].null is not None:
        return None
    none = cells.none(one, when)
    if none is None:
        where = "the run" if when == "run" else "the baseline"
        raise NotComparable(f"{where} has no finished cell of `none` here, which this rule counts from")
    return none.anchored if when == "baseline" else none.side


def _name(rule: Rule) -> str:
    return "the baseline" if rule.against == "baseline" else "`none` in the run"


def reference_moved(found: Sequence[Couple]) -> Mapping[str, int]:
    """Metrics in which `none` itself reads otherwise than in the baseline, with the number of cells."""
    moved: dict[str, int] = {}
    for couple in found:
        old, new = couple.expected, couple.found
        if couple.place.method == "none" and couple.place.task != "fidelity" and old is not None and new is not None:
            for name, estimate in new.estimates.items():
                if name in FOLDS and name in old.estimates and old.ids == new.ids:
                    was = old.estimates[name].value
                    if abs(estimate.value - was) > 1e-6 * max(abs(was), 1e-9):
                        moved[name] = moved.get(name, 0) + 1
    return moved
