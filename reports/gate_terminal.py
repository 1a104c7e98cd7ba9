"""A gate in a terminal: what did not pass, one line each; what stands beside; the verdict last."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.gate_text import MARKS, STATES, amount, bounds, counts, reasons, remarks, worst_first
from results.gate import Check, Gate

STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow", "missing": "red"}
MOST, SENTENCES = 30, 12
"""Rows and sentences shown without ``full``, which shows all rows."""


def print_gate(gate: Gate, console: Console, full: bool = False) -> None:
    """Readable without colour too: every state has its own mark and word."""
    checks = worst_first(gate.checks)
    shown = checks if full else [check for check in checks if check.state != "pass" and check.rule.tier != "info"]
    cut = shown if full else shown[:MOST]
    if cut:
        console.print(_table(cut))
    if len(cut) < len(shown):
        console.print(Text(f"... and {len(shown) - len(cut)} more; --full shows all", style="dim"))
    said = reasons([check for check in checks if check.rule.tier == "block"])
    for line in [*said[:SENTENCES], *(f"• {line}" for line in remarks(gate))]:
        console.print(Text(f"  {line}"), soft_wrap=True)  # a line of a log stays one, to be searched
    console.print(Text(counts(gate)))
    console.print(Text(f"{MARKS[gate.state]} {STATES[gate.state]}", style=STYLES[gate.state]))


def _table(checks: list[Check]) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 1), show_edge=False)
    for header in ("", "rule", "variant", "task", "language"):
        table.add_column(header, overflow="fold")
    for header in ("worse by", "95% interval", "margin", "passages"):
        table.add_column(header, justify="right", no_wrap=True)
    for check in checks:
        tier = "" if check.rule.tier == "block" else f" ({check.rule.tier})"
        cells = (
            f"{MARKS[check.state]} {check.state}",
            check.rule.title + tier,
            check.place.variant,
            check.place.task,
            check.place.language,
            amount(check, check.damage),
            bounds(check),
            amount(check, check.rule.limit, signed=False),
            "–" if check.exact or check.damage is None else str(check.passages),
        )
        table.add_row(*(Text(cell, style=STYLES[check.state] if i == 0 else "") for i, cell in enumerate(cells)))
    return table
