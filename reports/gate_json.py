"""A gate as JSON, for other programs: numbers as they are, nothing left out."""

from __future__ import annotations

from typing import Any

from reports.gate_text import sentence
from results.gate import Check, Gate
from results.gate_selftest import SelfTest

SCHEMA = 1


def gate_json(gate: Gate) -> dict[str, Any]:
    """Absent numbers are null. ``state`` is that of the blocking checks together."""
    return {
        "schema": SCHEMA,
        "state": gate.state,
        "policy": gate.policy.name,
        "alpha": gate.policy.alpha,
        "family": sum(check.rule.tier == "block" for check in gate.checks),
        "checks": [_check(check) for check in gate.checks],
        "mismatches": [{**vars(one), "cells": count} for one, count in gate.mismatches],
        "stale": list(gate.stale),
        "warnings": list(gate.warnings),
        "not_compared": list(gate.not_compared),
    }


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
        "p_pass": check.p_pass,
        "p_fail": check.p_fail,
        "p_fail_adjusted": check.p_fail_adjusted,
        "passages_needed": check.needed,
        "sentence": sentence(check),
    }
