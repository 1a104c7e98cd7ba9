"""The words of a gate, the same in a terminal, in JUnit XML, in Markdown and in annotations."""

from __future__ import annotations

from collections.abc import Sequence

from results.gate import Check, Gate, counted
from results.gate_selftest import SelfTest

MARKS = {"pass": "✓", "fail": "✗", "inconclusive": "?", "missing": "∅"}
STATES = {
    "pass": "PASS: every blocking check passed",
    "fail": "FAIL: something became worse than its margin allows",
    "inconclusive": "INCONCLUSIVE: what was measured cannot tell",
    "missing": "MISSING: a blocking check had nothing to compare",
}
SUFFIX = {"bits_per_sentence": " bits per sentence", "kld_bits_per_sentence": " bits per sentence"}


def amount(check: Check, value: float | None, signed: bool = True) -> str:
    """A damage in its rule's unit: ``+1.25%``, ``+2.1``; a dash where nothing is known."""
    if value is None:
        return "–"
    value += 0.0  # no minus sign before a zero
    if check.rule.relative:
        return f"{100 * value:+.2f}%" if signed else f"{100 * value:g}%"
    text = f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"+{text}" if signed and value >= 0 else text


def bounds(check: Check) -> str:
    return "" if check.low is None else f"[{amount(check, check.low)}, {amount(check, check.high)}]"


def probability(p: float) -> str:
    return "p < 1e-6" if p < 1e-6 else f"p = {p:.2g}"


def where(check: Check) -> str:
    return str(check.place)


def title(check: Check) -> str:
    return f"{check.rule.title}: {check.place}"


def sentence(check: Check) -> str:
    """What happened to one check: numbers, margin, how sure, and what would help."""
    rule = check.rule
    if check.state == "missing":
        return f"nothing was compared: {check.note}"
    beside = {"baseline": "the baseline", "none": "`none`", "anchor": "the change against `none` first accepted"}
    what = f"{'gap of ' if rule.gap else ''}{rule.metric}"
    than = " than English" if rule.gap else ""
    told = f"{what} worse by {amount(check, check.damage)}{SUFFIX.get(rule.metric, '') if not rule.relative else ''}"
    told += f" {bounds(check)}{than} beside {beside[rule.against]}, margin {amount(check, rule.limit, False)}"
    if not check.exact:
        told += f", {check.passages} {counted(check.place.task)}"
        if check.state == "fail":
            told += f"; {probability(check.p_fail_adjusted)} after Holm's correction"
        elif check.low == check.high is not None:
            told += ", all alike"
        elif check.state == "pass":
            told += f"; {probability(check.p_pass)} of a larger one"
    if check.note:
        told += f"; {check.note}"
    if check.needed is not None and check.needed > check.passages:
        told += f"; about {check.needed} {counted(check.place.task)} would tell"
    return told.replace("  ", " ")


def counts(gate: Gate) -> str:
    """``231 blocking checks: 230 passed, 1 failed``, and of the others what is worth a word."""
    parts = []
    names = {"block": "blocking", "warn": "warning", "info": "informing"}
    for tier, name in names.items():
        states = [(state, len(gate.of(tier, state))) for state in ("pass", "fail", "inconclusive", "missing")]
        total = sum(count for _, count in states)
        if total:
            words = {"pass": "passed", "fail": "failed"}
            told = ", ".join(f"{count} {words.get(state, state)}" for state, count in states if count)
            parts.append(f"{total} {name} check{'s' if total > 1 else ''}: {told}")
    return "; ".join(parts) or "no check"


def worst_first(checks: Sequence[Check]) -> list[Check]:
    """Blocking before warning, failed before missing before inconclusive before passed; then as sure as can be."""
    tier = {"block": 0, "warn": 1, "info": 2}
    state = {"fail": 0, "missing": 1, "inconclusive": 2, "pass": 3}
    return sorted(checks, key=lambda it: (tier[it.rule.tier], state[it.state], it.p_fail_adjusted, it.p_fail))


def reasons(checks: Sequence[Check]) -> list[str]:
    """A sentence for each failed check; of the others that did not pass each reason once, with how many share it."""
    said = [f"{MARKS['fail']} {title(check)}: {sentence(check)}" for check in checks if check.state == "fail"]
    shared: dict[tuple[str, str, str], list[Check]] = {}
    for check in checks:
        if check.state in ("inconclusive", "missing"):
            shared.setdefault((check.rule.tier, check.state, check.note), []).append(check)
    for (_, state, note), of in shared.items():
        if len(of) == 1 or not note:
            said += [f"{MARKS[state]} {title(check)}: {sentence(check)}" for check in of]
        else:
            names = ", ".join(dict.fromkeys(check.rule.title for check in of))
            said.append(f"{MARKS[state]} {len(of)} checks ({names}) {state}: {note}")
    return said


def remarks(gate: Gate) -> list[str]:
    """What stands beside the verdicts: mismatches, staleness, what was not compared."""
    said = [
        f"{one.severity}: {one.sentence} ({count} cells)" for one, count in gate.mismatches if one.severity != "info"
    ]
    said += [f"stale: {line}" for line in gate.stale]
    said += [f"warning: {line}" for line in gate.warnings]
    said += [f"not compared: {line}" for line in gate.not_compared]
    return said


def self_test_sentence(found: SelfTest) -> str:
    low, high = found.interval
    at_margin, passing = found.alarms / found.trials, found.passes / found.trials
    return (
        f"self-test: {found.trials} times the labels of `none` and variant were swapped at random by passage "
        f"({found.passages} passages, {found.checks} checks). False alarms: {found.rate:.1%} [{low:.1%}, {high:.1%}] "
        f"with every margin at 0, {at_margin:.1%} at the policy's margins; allowed {found.alpha:.1%}. Everything "
        f"passed in {passing:.1%}: what this run's noise leaves of the power."
    )
