"""``baseline``: what is expected of later runs, saved from a finished one and renewed with a reason."""

from __future__ import annotations

import argparse
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands._text import Commands, add_command, add_json, columns, print_json
from harness.exits import ExitCode
from harness.problems import UserError

if TYPE_CHECKING:
    from results.baseline_file import Baseline, Change
    from results.comparison_cells import Measured

BASELINE = """
A baseline is a lockfile for git: of every cell its numbers, the sums of every item, and what they
came from. `langgap gate` compares runs with it.

examples:
  langgap baseline save runs/default --out baseline.lock
  langgap baseline update baseline.lock runs/default --reason recalibrated
"""
SAVE = "Save a baseline from a finished run. Refuses a file that exists and a run that is not complete."
SHOW = "Say what a baseline holds: who saved it when and why, and its cells."
DIFF = "Say what differs between a baseline and another one, or a run: numbers, cells, versions."
VERIFY = """
Check that a baseline is whole and unaltered, and not too old. After a merge in git every line is
whole but the seal is wrong: --seal checks the lines and renews it.
"""
UPDATE = """
Put a finished run in the place of a baseline's numbers. The reason is kept in the file. Rules
against the anchor go on counting from what was accepted first, unless --new-anchor.
"""
WHO = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN")
COMMIT = ("GITHUB_SHA", "CI_COMMIT_SHA")


def add(commands: Commands) -> None:
    baseline = add_command(commands, "baseline", "save, show, compare and renew what is expected", BASELINE, None)
    verbs = baseline.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=type(baseline))
    save = add_command(verbs, "save", "from a finished run", SAVE, run_save)
    save.add_argument("run_folder", type=Path, metavar="RUN", help="a run folder, such as runs/default")
    save.add_argument("--out", type=Path, required=True, metavar="FILE", help="the lockfile; commit it")
    save.add_argument("--reason", default="first baseline", metavar="TEXT", help="kept in the file")
    show = add_command(verbs, "show", "what it holds", SHOW, run_show)
    diff = add_command(verbs, "diff", "what differs from another, or from a run", DIFF, run_diff)
    verify = add_command(verbs, "verify", "whole, unaltered, not too old", VERIFY, run_verify)
    update = add_command(verbs, "update", "renew it from a run, with a reason", UPDATE, run_update)
    for verb in (show, diff, verify, update):
        verb.add_argument("file", type=Path, metavar="FILE", help="a baseline")
    diff.add_argument("other", type=Path, metavar="OTHER", help="another baseline, or a run folder")
    verify.add_argument("--seal", action="store_true", help="renew the seal after a merge in git")
    verify.add_argument("--policy", type=Path, metavar="FILE", help="whose age limit counts (default: the shipped one)")
    update.add_argument("run_folder", type=Path, metavar="RUN", help="a finished run")
    update.add_argument("--reason", required=True, metavar="TEXT", help="why the numbers may change; kept in the file")
    update.add_argument("--new-anchor", action="store_true", help="count anchors from this run")
    for verb in (save, update):
        verb.add_argument("--method", default="*", metavar="GLOB", help="only these methods (and none), such as 'awq*'")
        verb.add_argument("--who", metavar="NAME", help="who answers for it (default: CI's user, else git's)")
    add_json(show)
    add_json(diff)


def run_save(args: argparse.Namespace) -> ExitCode:
    from results.baseline import Incomplete, first
    from results.baseline_file import write_baseline
    from results.store import Run

    if args.out.exists():
        raise UserError(
            f"'{args.out}' exists and is left as it is. Renew it with: langgap baseline update {args.out} "
            f'{args.run_folder} --reason "..."'
        )
    try:
        made = first(Run.open(args.run_folder), _change(args), args.method)
    except Incomplete as error:
        raise UserError(str(error), ExitCode.INCOMPLETE) from None
    write_baseline(args.out, made)
    print(f"{args.out}: {_size(made)}. Commit it, and compare with: langgap gate RUN --baseline {args.out}")
    return ExitCode.OK


def run_update(args: argparse.Namespace) -> ExitCode:
    from results.baseline import Incomplete, updated
    from results.baseline_file import read_baseline, write_baseline
    from results.store import Run

    old = read_baseline(args.file)
    if not args.reason.strip():
        raise UserError("The reason is empty; say why the numbers may change: --reason TEXT.")
    try:
        made = updated(old, Run.open(args.run_folder), _change(args), args.method, args.new_anchor)
    except Incomplete as error:
        raise UserError(str(error), ExitCode.INCOMPLETE) from None
    write_baseline(args.file, made)
    print(f"{args.file}: {_size(made)}.\n")
    print(_told(made.changes[-1]))
    return ExitCode.OK


def run_show(args: argparse.Namespace) -> ExitCode:
    from results.baseline_file import read_baseline

    found = read_baseline(args.file)
    rows = _rows(found.cells)
    if args.json:
        shown = [
            dict(zip(("variant", "task", "language", "items", "anchored", "created"), row, strict=True)) for row in rows
        ]
        print_json({"changes": [vars(change) for change in found.changes], "cells": shown})
        return ExitCode.OK
    print(f"{args.file}: {_size(found)}\n")
    print("\n\n".join(_told(change) for change in reversed(found.changes)) + "\n")
    print(columns(("variant", "task", "language", "items", "anchor", "measured"), rows))
    return ExitCode.OK


def run_diff(args: argparse.Namespace) -> ExitCode:
    from results.baseline import cells_of, differences
    from results.baseline_file import read_baseline
    from results.comparison import gathered, mismatches
    from results.comparison_cells import couples
    from results.store import Run

    old = read_baseline(args.file)
    new = cells_of(Run.open(args.other)) if args.other.is_dir() else list(read_baseline(args.other).cells)
    found = couples(old.cells, new)
    moved = differences(found)
    gone = [str(couple.place) for couple in found if couple.found is None or couple.found.status != "ok"]
    added = [str(couple.place) for couple in found if couple.expected is None]
    differing = gathered((couple, one) for couple in found for one in mismatches(couple))
    if args.json:
        print_json(
            {
                "numbers": moved,
                "gone": gone,
                "added": added,
                "mismatches": [{**vars(one), "cells": count} for one, count in differing],
            }
        )
        return ExitCode.OK
    for line in [
        *(f"{one.severity}: {one.sentence} ({count} cells)" for one, count in differing),
        *(f"gone: {place}" for place in gone),
        *(f"added: {place}" for place in added),
        *moved,
    ]:
        print(line)
    if not (moved or gone or added or differing):
        print(f"Nothing differs in {len(found)} cells.")
    return ExitCode.OK


def run_verify(args: argparse.Namespace) -> ExitCode:
    from results.baseline_file import read_baseline, reseal
    from results.comparison import staleness
    from results.policy import read_policy

    found = reseal(args.file) if args.seal else read_baseline(args.file)
    said = staleness(found.cells, read_policy(args.policy).max_age_days, datetime.now(UTC))
    for line in said:
        print(f"stale: {line}")
    print(f"{args.file}: whole, {_size(found)}.")
    return ExitCode.OK


def _change(args: argparse.Namespace) -> Change:
    from results.baseline_file import Change

    who = args.who or _first(WHO) or _git("config", "user.name") or os.environ.get("USER") or "unknown"
    commit = _first(COMMIT) or _git("rev-parse", "HEAD")
    return Change(datetime.now(UTC).isoformat(timespec="seconds"), who, args.reason.strip(), commit, 0)


def _first(names: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _git(*arguments: str) -> str | None:
    """What git says in the present folder; None without git or outside of a checkout."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _size(baseline: Baseline) -> str:
    variants = {one.cell.variant.key for one in baseline.cells}
    items = sum(len(one.ids) for one in baseline.cells)
    return f"{len(baseline.cells)} cells of {len(variants)} variants, {items:,} items"


def _told(change: Change) -> str:
    commit = f", commit {change.commit[:12]}" if change.commit else ""
    lines = [f"{change.date[:10]} {change.who}: {change.why} ({change.cells} cells{commit})"]
    return "\n".join([*lines, *(f"  {line}" for line in change.what)])


def _rows(cells: tuple[Measured, ...]) -> list[tuple[str, ...]]:
    from results.comparison_cells import couples

    return [
        (
            couple.place.variant,
            couple.place.task,
            couple.place.language,
            str(len(couple.either.ids) or "–"),
            "older" if couple.either.anchor is not None else "this",
            (couple.either.created or "")[:10],
        )
        for couple in couples(cells, [])
    ]
