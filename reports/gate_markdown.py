"""A gate for the summary of a CI step and a pull request: Markdown under 65,000 characters, and annotation lines."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reports.gate_text import MARKS, STATES, amount, bounds, counts, reasons, remarks, sentence, title, worst_first
from results.gate import Check, Gate

LIMIT = 65_000
"""Characters a comment may have on GitHub, less a little."""
ROOM = 1_500
"""Kept for what says that something was left out."""
MOST_ANNOTATIONS = 10
"""GitHub shows ten of a kind a step."""


def gate_markdown(gate: Gate, limit: int = LIMIT) -> str:
    """Verdict first, then what did not pass, what stands beside, and the passed checks folded away."""
    checks = worst_first(gate.checks)
    told = [check for check in checks if check.state != "pass" and check.rule.tier != "info"]
    others = [check for check in checks if check.state == "pass" or check.rule.tier == "info"]
    parts = [f"## {MARKS[gate.state]} {STATES[gate.state]}", plain(counts(gate)) + "."]
    said = reasons([check for check in told if check.rule.tier == "block"])
    parts.append("\n".join(f"- {plain(line)}" for line in said[:20]))
    room = limit - ROOM - sum(map(len, parts))
    beside = _fitting([f"- {plain(line)}" for line in remarks(gate)], room // 3)
    room -= len(beside)
    table = _table(told, 2 * room // 3)
    room -= len(table)
    parts.append(table)
    parts.append(f"### Beside the verdict\n\n{beside}" if beside else "")
    folded = _table(others, room)
    if folded:
        parts.append(f"<details><summary>{len(others)} passed or told only</summary>\n\n{folded}\n\n</details>")
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(checks: Sequence[Check], room: int) -> str:
    header = "| | rule | variant | task | language | worse by | 95% interval | margin | |\n"
    rule = "|---|---|---|---|---|---:|---:|---:|---|\n"
    rows = [_row(check) for check in checks]
    return header + rule + _fitting(rows, room - len(header) - len(rule)) if rows else ""


def _row(check: Check) -> str:
    tier = "" if check.rule.tier == "block" else f" ({check.rule.tier})"
    place = check.place
    cells = [
        f"{MARKS[check.state]} {check.state}",
        plain(check.rule.title + tier),
        plain(place.variant),
        plain(place.task),
        plain(place.language),
        amount(check, check.damage),
        plain(bounds(check)),
        amount(check, check.rule.limit, signed=False),
        plain(check.note),
    ]
    return "| " + " | ".join(cells) + " |"


def _fitting(lines: Sequence[str], room: int) -> str:
    """As many lines as fit, and how many do not."""
    kept: list[str] = []
    used = 0
    for line in lines:
        used += len(line) + 1
        if used > room:
            break
        kept.append(line)
    left = len(lines) - len(kept)
    return "\n".join([*kept, *([f"\n{left} more are in the JSON."] if left else [])])


def annotation_lines(gate: Gate) -> list[str]:
    """Workflow commands of GitHub Actions: errors for what blocks, warnings for what warns."""
    blocked: list[tuple[str, str]] = []
    warned: list[tuple[str, str]] = []
    for check in worst_first(gate.checks):
        stops = check.state in ("fail", "missing") or gate.policy.inconclusive == "block"
        if check.state == "pass" or check.rule.tier == "info":
            continue
        (blocked if check.rule.tier == "block" and stops else warned).append((title(check), sentence(check)))
    warned += [("langgap gate", line) for line in (*gate.stale, *gate.warnings)]
    return [
        f"::{level} title={_property(name)}::{_data(text)}"
        for level, found in (("error", blocked), ("warning", warned))
        for name, text in found[:MOST_ANNOTATIONS]
    ]


def plain(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no cell borders, no line breaks, no mention of people."""
    escaped = re.sub(r"([\\`|<>\[\]*_#])", r"\\\1", " ".join(text.split()))
    return escaped.replace("@", "@\u200b")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
