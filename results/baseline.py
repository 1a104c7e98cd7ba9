"""What we expect, saved: made from a finished run, renewed with a reason, compared with another."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from results.baseline_file import Baseline, Change
from results.comparison_cells import Columns, Couple, Measured, couples, from_run
from results.metric import METRICS
from results.reliability import TASK as JUDGED
from results.store import Run

MOST = 12
"""So many changed numbers are told one by one."""


class Incomplete(ValueError):
    """A run that is no fit baseline, with what it lacks."""


def cells_of(run: Run, method: str = "*") -> list[Measured]:
    """The cells of a run that a baseline would hold: of methods (or labels) that meet a glob, and always of `none`."""
    cells = from_run(run)
    if method == "*":
        return cells
    met = {
        id(couple.either)
        for couple in couples([], cells)
        if couple.place.method == "none"
        or any(fnmatchcase(name, method) for name in (couple.place.method, couple.place.variant))
    }
    return [one for one in cells if id(one) in met]


def first(run: Run, change: Change, method: str = "*") -> Baseline:
    """Raises Incomplete; the baseline's numbers are its own anchor."""
    cells = _complete(run, method)
    return Baseline(tuple(cells), (replace(change, cells=len(cells)),))


def updated(old: Baseline, run: Run, change: Change, method: str = "*", new_anchor: bool = False) -> Baseline:
    """The run in the place of the old numbers; the old anchors are kept on the same items, unless ``new_anchor``.

    Cells that the run does not have are dropped, and told in the change. Raises Incomplete.
    """
    cells = _complete(run, method)
    found = couples(old.cells, cells)
    anchored = []
    what = []
    for couple in found:
        before, now = couple.expected, couple.found
        if now is None:
            what.append(f"dropped: {couple.place}")
            continue
        if before is None:
            what.append(f"added: {couple.place}")
        keeps = before is not None and not new_anchor and before.ids == now.ids and _same_model(before, now)
        if before is not None and before.ids and not keeps:
            what.append(f"anchored anew: {couple.place}")
        anchored.append(replace(now, anchor=_anchor(before, now)) if keeps and before is not None else now)
    what += differences(found)
    change = replace(change, cells=len(cells), what=tuple(_shortened(what)))
    return Baseline(tuple(anchored), (*old.changes, change))


def differences(found: Iterable[Couple]) -> list[str]:
    """Numbers that moved, those that became worse first: ``awq 4-bit, perplexity, ko: nats_per_token 3.1 -> 3.2``."""
    moved = []
    for couple in found:
        if couple.expected is None or couple.found is None:
            continue
        for name, after in couple.found.estimates.items():
            before = couple.expected.estimates.get(name)
            if before is None or name not in METRICS or abs(after.value - before.value) <= 1e-9 * abs(before.value):
                continue
            share = (after.value - before.value) / abs(before.value) if before.value else float("inf")
            worse = share * {"lower": 1, "higher": -1}.get(METRICS[name].better, 0)
            told = f"{couple.place}: {name} {before.value:.5g} -> {after.value:.5g} ({share:+.2%})"
            moved.append((worse, told))
    return [told for _, told in sorted(moved, key=lambda item: -item[0])]


def lacks(run: Run, cells: Sequence[Measured]) -> list[str]:
    """What keeps a run from being a baseline: cells without a number, and what its latest sweep file names beside."""
    said = [
        f"{couple.place}: {one.status}, {one.reason}"
        for couple in couples([], cells)
        for one in [couple.either]
        if one.status != "ok"
    ]
    if not any(one.status == "ok" for one in cells):
        return said or ["it has no finished cell"]
    methods = {one.cell.variant.method for one in cells}
    if "none" not in methods:
        said.append("it has no `none`, which every rule against `none` counts from")
    asked: dict[tuple[str, str], set[str]] = {}
    for one in cells:
        if one.cell.variant.method != "none":
            asked.setdefault((one.cell.task, one.cell.language), set()).add(one.cell.variant.key)
    variants = {one.cell.variant.key: one for one in cells if one.cell.variant.method != "none"}
    names = {couple.either.cell.variant.key: couple.place.variant for couple in couples([], cells)}
    file = _sweep_file(run)
    chosen = _of_some(file)
    for (task, language), having in asked.items():
        if task in chosen:
            continue
        said += [f"{names[key]}, {task}, {language}: not measured yet" for key in variants if key not in having]
    return said + _unfinished(file.get("method", []), cells)


def _sweep_file(run: Run) -> dict[str, Any]:
    """The latest; nothing where there is none that can be read."""
    try:
        return tomllib.loads(run.configs()[-1].read_text(encoding="utf-8"))
    except (IndexError, OSError, ValueError):
        return {}


def _of_some(file: Mapping[str, Any]) -> set[str]:
    """Tasks that a sweep file has measured of some variants alone."""
    tasks = {table["name"] for table in file.get("task", []) if table.get("only")}
    is_chosen = "answers" in tasks or file.get("judge", {}).get("best")
    return tasks | ({JUDGED} if is_chosen else set())


def _unfinished(asked: Sequence[Any], cells: Sequence[Measured]) -> list[str]:
    """Methods of a sweep file without any cell: a sweep that was stopped before it came to them."""
    there = [(one.cell.variant.method, one.cell.variant.params) for one in cells]
    return [
        f"{table['name']}: in the sweep file, not measured yet"
        for table in asked
        if isinstance(table, dict)
        and "name" in table
        and not any(
            name == table["name"] and all(params[key] == table[key] for key in table if key in params)
            for name, params in there
        )
    ]


def _complete(run: Run, method: str) -> list[Measured]:
    cells = cells_of(run, method)
    missing = (
        lacks(run, cells)
        if method == "*"
        else [
            f"{one.cell.variant.method}, {one.cell.task}, {one.cell.language}: {one.status}, {one.reason}"
            for one in cells
            if one.status != "ok"
        ]
    )
    if not cells:
        missing = ["it has no finished cell"]
    if missing:
        shown = "".join(f"\n  - {line}" for line in _shortened(missing))
        raise Incomplete(
            f"{run.folder} is no baseline, for it is not complete:{shown}\nFinish it with the same `langgap sweep`, or "
            "save part of it with --method GLOB."
        )
    return cells


def _anchor(before: Measured, now: Measured) -> Columns | None:
    anchored = before.anchored.columns
    kept = {name: anchored[name] for name in now.columns if name in anchored}
    return None if kept == dict(now.columns) or len(kept) < len(now.columns) else kept


def _same_model(a: Measured, b: Measured) -> bool:
    return a.cell.variant.weights == b.cell.variant.weights and a.cell.task_version == b.cell.task_version


def _shortened(lines: Sequence[str]) -> list[str]:
    return list(lines) if len(lines) <= MOST else [*lines[:MOST], f"... and {len(lines) - MOST} more"]
