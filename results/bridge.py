"""From one judge to another: what changes in the numbers when a judge does, on answers that both have judged.

A judge retires, or its endpoint serves another model under the same name. The run's answers are the frozen set: judge
them with the new judge too, and every game that both judged says whether their win rates may stand in one table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from results.cell import canonical_json
from results.estimate import Estimate
from results.record import Record
from results.reliability import TASK, is_aa
from results.statistics import cluster_mean
from results.store import Run


@dataclass(frozen=True)
class Bridge:
    """Two judges of the same matches in one language. A/A matches are left out."""

    before: str
    after: str
    """Models; with their prompts' hash where that is what differs."""
    language: str
    games: int
    """That both gave a verdict of."""
    agreement: Estimate
    """Share of those with one verdict, by question."""
    shift: Estimate
    """Win rate after - before, by question."""

    @property
    def sentence(self) -> str:
        low, high = self.shift.low, self.shift.high
        bounds = "" if low is None or high is None else f" [{100 * low:+.1f}, {100 * high:+.1f}]"
        return (
            f"{self.language}: {self.after} gives the verdict of {self.before} in {self.agreement.value:.1%} of "
            f"{self.games} games; win rates move by {100 * self.shift.value:+.1f}{bounds} points."
        )


def bridges(run: Run) -> list[Bridge]:
    """Every two judges of a run that have matches in common, the one that judged first named first."""
    of: dict[tuple[str, str], dict[tuple[str, str | None], Record]] = {}
    for record in run.records():
        if record.cell.task == TASK and record.status == "ok" and not is_aa(record, run):
            judge = canonical_json({**record.cell.params, "version": record.cell.task_version})
            match = (record.cell.variant.key, record.cell.reference)
            of.setdefault((record.cell.language, judge), {})[match] = record
    found = []
    for ((language, a), first), ((other, b), second) in combinations(of.items(), 2):
        shared = [(first[match], second[match]) for match in first if match in second]
        if language == other and a != b and shared and (bridge := _bridge(shared, run)):
            found.append(bridge)
    return found


def _bridge(pairs: Sequence[tuple[Record, Record]], run: Run) -> Bridge | None:
    same: list[float] = []
    same_of: list[str] = []
    shifts: list[float] = []
    shifts_of: list[str] = []
    for pair in pairs:
        before, after = ({s.id: s for s in run.samples(record.cell.key)} for record in pair)
        for name in (name for name in before if name in after):
            x, y = before[name].quantities, after[name].quantities
            games = [game for game in x if game.startswith("game_") and game in y]
            same += [float(x[game] == y[game]) for game in games]
            same_of += [before[name].group] * len(games)
            if "score" in x and "score" in y:
                shifts.append(y["score"] - x["score"])
                shifts_of.append(before[name].group)
    if not same or not shifts:
        return None
    names = _names(*pairs[0])
    return Bridge(
        *names,
        pairs[0][0].cell.language,
        len(same),
        cluster_mean(np.array(same), same_of).interval(),
        cluster_mean(np.array(shifts), shifts_of).interval(),
    )


def _names(before: Record, after: Record) -> tuple[str, str]:
    """The judges' models, or what else tells them apart."""
    told = [dict(record.cell.params) for record in (before, after)]
    first, second = (str(params.get("model")) for params in told)
    if first != second:
        return first, second
    differing = [name for name in told[0] if told[0][name] != told[1].get(name)]
    a, b = (", ".join(f"{name} {params.get(name)}" for name in differing) for params in told)
    return f"{first} ({a})", f"{second} ({b})"
