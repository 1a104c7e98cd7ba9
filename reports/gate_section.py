"""The section on the last gate of this run: verdict, what did not pass and why, what was not compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePath

import pandas as pd

from reports import gate_korean, gate_text
from reports.claimed import Sentence
from reports.gate_file import KeptGate
from reports.gate_text import MARKS, amount, bounds, title, worst_first
from reports.gathered import Gathered
from reports.section import Section, View, p_value
from reports.shown import Column, Table, text, value
from reports.words import Words, tagged_name
from results.comparison_cells import Place
from results.gate import Check, Gate

KINDS = {"pass": "established", "fail": "failed", "inconclusive": "depends", "missing": "failed"}
MOST = 12
"""Sentences of the section; the table has every check."""


def gate_line(found: Gathered, words: Words) -> list[Sentence]:
    """The verdict in one line, for the first screen; nothing where no gate judged these records."""
    kept = found.gate
    return [] if kept is None or kept.gate is None or kept.is_outdated else [_state(kept.gate, words)]


def gate(found: Gathered, words: Words) -> Section | None:
    kept = found.gate
    if kept is None:
        return None
    if kept.gate is None:
        said = [Sentence(words.say("gate_unreadable", problem=kept.problem), "failed")]
        return Section("gate", words["gate"], said)
    checks = worst_first(kept.gate.checks)
    told = [check for check in checks if check.state != "pass"]
    said = _reasons([check for check in told if check.rule.tier == "block"], kept.gate, words)
    more = [Sentence(words.say("gate_more", count=len(said) - MOST))] if len(said) > MOST else []
    outdated = [Sentence(words["gate_outdated"], "failed")] if kept.is_outdated else []
    return Section(
        "gate",
        words["gate"],
        [*outdated, _state(kept.gate, words), *said[:MOST], *more],
        [_about(kept, kept.gate, words), words["gate_note"]],
        tables=[
            *([View(_table("gate", told, kept.gate, words), open=len(told) <= MOST)] if told else []),
            View(_table("gate-passed", [check for check in checks if check.state == "pass"], kept.gate, words)),
        ],
        folded=[Sentence(line) for line in _remarks(kept.gate, words)],
        folded_title=words["gate_beside"],
    )


def _state(gate: Gate, words: Words) -> Sentence:
    blocking = [check for check in gate.checks if check.rule.tier == "block"]
    counts = {state: sum(check.state == state for check in blocking) for state in MARKS}
    listed = ", ".join(words.say(f"gate_count_{state}", count=count) for state, count in counts.items() if count)
    verdict = words.say(f"gate_{gate.state}", blocking=len(blocking), counts=listed or words["gate_no_check"])
    lenient = gate.state == "inconclusive" and gate.policy.inconclusive == "pass"
    return Sentence(f"{verdict} {words['gate_lenient']}" if lenient else verdict, KINDS[gate.state])


def _about(kept: KeptGate, gate: Gate, words: Words) -> str:
    known = {name: said or words["unknown"] for name, said in (kept.baseline or {}).items()}
    return words.say(
        "gate_about",
        **{**known, "date": known.get("date", "")[:10]},
        policy=PurePath(gate.policy.name).name or words["unknown"],
        made=kept.made[:16].replace("T", " "),
    )


def _reasons(checks: Sequence[Check], gate: Gate, words: Words) -> list[Sentence]:
    """A sentence for each failed check; the others by their reason, where several share it."""
    shared: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        alone = check.state == "fail" or not check.note
        shared.setdefault((check.state, title(check) if alone else _note(check, gate, words)), []).append(check)
    said = []
    for (state, note), of in shared.items():
        rules = ", ".join(dict.fromkeys(check.rule.title for check in of))
        one = f"{title(of[0])}: {_sentence(of[0], gate, words)}"
        many = words.say("gate_shared", count=len(of), rules=rules, state=words[f"gate_state_{state}"], note=note)
        said.append(Sentence(f"{MARKS[state]} {one if len(of) == 1 else many}", KINDS[state]))
    return said


def _sentence(check: Check, gate: Gate, words: Words) -> str:
    return gate_korean.sentence(check, gate) if words.language == "ko" else gate_text.sentence(check)


def _note(check: Check, gate: Gate, words: Words) -> str:
    return gate_korean.note(check, gate) if words.language == "ko" else check.note


def _remarks(gate: Gate, words: Words) -> list[str]:
    return gate_korean.remarks(gate) if words.language == "ko" else gate_text.remarks(gate)


def _table(name: str, checks: Sequence[Check], gate: Gate, words: Words) -> Table:
    rows = [
        {
            "state": check.state,
            "tier": check.rule.tier,
            "rule": check.rule.title,
            "variant": check.place.variant,
            "task": check.place.task,
            "language": check.place.language,
            "damage": check.damage,
            "low": check.low,
            "high": check.high,
            "margin": check.rule.limit,
            "relative": check.rule.relative,
            "p_fail_adjusted": check.p_fail_adjusted,
            "note": check.note,
        }
        for check in checks
    ]
    of = {(check.rule.title, *_where(check.place)): check for check in checks}

    def shown(header: str, show: Callable[[Check], str], numeric: bool = True) -> Column:
        """A column in the unit of each check's rule."""
        return Column(header, lambda row, _: show(of[row.rule, row.variant, row.task, row.language]), numeric)

    columns = (
        Column(words["gate_check"], lambda row, _: f"{MARKS[row.state]} {words[f'gate_state_{row.state}']}", False),
        Column(words["gate_tier"], lambda row, _: words[f"gate_tier_{row.tier}"], False),
        text(words["gate_rule"], "rule"),
        text(words["variant"], "variant"),
        text(words["task"], "task"),
        Column(words["language"], lambda row, _: "–" if row.language == "und" else tagged_name(row.language), False),
        shown(words["gate_worse"], lambda check: f"{amount(check, check.damage)} {bounds(check)}".strip()),
        shown(words["gate_margin"], lambda check: amount(check, check.rule.limit, signed=False)),
        value(words["p_adjusted"], "p_fail_adjusted", p_value),
        shown(words["note"], lambda check: _note(check, gate, words) or "–", False),
    )
    heading = words["gate_passed" if name == "gate-passed" else "gate_not_passed"]
    return Table(name, heading, pd.DataFrame(rows, columns=_COLUMNS), columns, words)


_COLUMNS = [
    *("state", "tier", "rule", "variant", "task", "language", "damage", "low", "high", "margin", "relative"),
    *("p_fail_adjusted", "note"),
]


def _where(place: Place) -> tuple[str, str, str]:
    return place.variant, place.task, place.language
