"""A gate as JSON, for other programs and for the page: numbers as they are, nothing left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.gate_text import sentence
from results.comparison import Mismatch
from results.comparison_cells import Place
from results.gate import ORDER, TIERS, Check, Gate
from results.gate_selftest import SelfTest
from results.policy import Policy, Rule

SCHEMA = 1


def gate_json(gate: Gate) -> dict[str, Any]:
    """Absent numbers are null. ``state`` is that of the blocking checks together."""
    return {
        "schema": SCHEMA,
        "state": gate.state,
        "policy": gate.policy.name,
        "alpha": gate.policy.alpha,
        "inconclusive": gate.policy.inconclusive,
        "if_stale": gate.policy.stale,
        "family": sum(check.rule.tier == "block" for check in gate.checks),
        "checks": [_check(check) for check in gate.checks],
        "mismatches": [{**vars(one), "cells": count} for one, count in gate.mismatches],
        "stale": list(gate.stale),
        "warnings": list(gate.warnings),
        "not_compared": list(gate.not_compared),
    }


def gate_from_json(value: Mapping[str, Any]) -> Gate:
    """What `gate_json` wrote, as far as words need it: its rules have their titles and margins, not their globs.

    Raises KeyError, TypeError or ValueError for JSON that is none of it.
    """
    if value["schema"] != SCHEMA:
        raise ValueError(f"its schema is {value['schema']!r}, and this version of langgap reads schema {SCHEMA}")
    checks = tuple(_check_from(one) for one in value["checks"])
    policy = Policy(
        tuple(dict.fromkeys(check.rule for check in checks)),
        name=str(value["policy"]),
        alpha=float(value["alpha"]),
        inconclusive=value["inconclusive"],
        stale=value["if_stale"],
    )
    found = Gate(
        policy,
        checks,
        tuple((Mismatch(one["severity"], one["kind"], one["sentence"]), one["cells"]) for one in value["mismatches"]),
        *(tuple(map(str, value[name])) for name in ("not_compared", "stale", "warnings")),
    )
    if found.state != value["state"]:
        raise ValueError(f"its state is {value['state']!r}, and its checks say {found.state!r}")
    return found


def self_test_json(found: SelfTest) -> dict[str, Any]:
    low, high = found.interval
    return {**vars(found), "rate": found.rate, "rate_low": low, "rate_high": high, "sound": found.is_sound}


def _check(check: Check) -> dict[str, Any]:
    rule = check.rule
    return {
        "rule": rule.title,
        "tier": rule.tier,
        "metric": rule.metric,
        "against": rule.against,
        "gap": rule.gap,
        "relative": rule.relative,
        "margin": rule.limit,
        "variant": check.place.variant,
        "method": check.place.method,
        "task": check.place.task,
        "language": check.place.language,
        "state": check.state,
        "damage": check.damage,
        "low": check.low,
        "high": check.high,
        "value": check.value,
        "reference": check.reference,
        "items": check.items,
        "passages": check.passages,
        "items_lacking": check.lacking,
        "minimum": rule.minimum,
        "exact": check.exact,
        "p_pass": check.p_pass,
        "p_fail": check.p_fail,
        "p_fail_adjusted": check.p_fail_adjusted,
        "passages_needed": check.needed,
        "note": check.note,
        "sentence": sentence(check),
    }


COUNTS = ("items", "passages", "items_lacking", "minimum")
CHANCES = ("p_pass", "p_fail", "p_fail_adjusted")
ESTIMATES = ("damage", "low", "high", "value", "reference")
"""Numbers of a check; these and the passages needed may be unknown."""


def _check_from(value: Mapping[str, Any]) -> Check:
    for name in (*COUNTS, *CHANCES, "margin", *ESTIMATES, "passages_needed"):
        is_absent = value[name] is None and name in (*ESTIMATES, "passages_needed")
        if not isinstance(value[name], int | float) and not is_absent:
            raise TypeError(f"{name} is {value[name]!r}, and it is a number")
    if value["state"] not in ORDER or value["tier"] not in TIERS:
        raise ValueError(f"a check is {value['state']!r} in the tier {value['tier']!r}")
    margin = float(value["margin"])
    rule = Rule(
        metric=str(value["metric"]),
        against=value["against"],
        margin=None if value["relative"] else margin,
        relative_margin=margin if value["relative"] else None,
        name=str(value["rule"]),
        gap=value["gap"],
        tier=value["tier"],
        minimum=value["minimum"],
    )
    return Check(
        rule=rule,
        place=Place(str(value["variant"]), str(value["method"]), str(value["task"]), str(value["language"])),
        **{name: value[name] for name in ("state", "exact", "items", "passages", *CHANCES, *ESTIMATES)},
        note=str(value["note"]),
        lacking=value["items_lacking"],
        needed=value["passages_needed"],
    )
