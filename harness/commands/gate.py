"""``gate``: may this be released? A run beside its baseline, under a policy."""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands._text import Commands, add_command, add_json, at_least, print_json
from harness.exits import ExitCode
from harness.problems import UserError

if TYPE_CHECKING:
    from results.baseline_file import Baseline
    from results.gate import Gate
    from results.policy import Policy
    from results.store import Run

GATE = """
Compare a run with a saved baseline, item by item, and say of every rule of the policy whether it
passes, fails, or cannot be told. Measures nothing; docs/ci.md has workflows to copy. The verdict is
kept as gate.json in the run folder, and `langgap report` shows it.

exit codes:
  0 all blocking rules passed   1 one failed   4 it cannot be told, and the policy makes that block
  5 no baseline, another one's, or something to compare is missing

examples:
  langgap gate runs/default --baseline baseline.lock
  langgap gate runs/default --baseline baseline.lock --policy policy.toml --junit gate.xml
  langgap gate runs/default --self-test
"""


def add(commands: Commands) -> None:
    parser = add_command(commands, "gate", "may this be released? a run beside its baseline", GATE, run)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run folder, such as runs/default")
    parser.add_argument("--baseline", type=Path, metavar="FILE", help="what `langgap baseline save` wrote")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="rules, as TOML (default: the one that is shipped)")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML, one test case for each check")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="write Markdown, for the summary of a CI step")
    parser.add_argument(
        "--annotations", action="store_true", help="also say what did not pass as GitHub's annotations, on stderr"
    )
    parser.add_argument("--full", action="store_true", help="show the passed checks too")
    parser.add_argument(
        "--self-test", action="store_true", help="swap labels at random instead, and tell the false-alarm rate"
    )
    parser.add_argument("--trials", type=at_least(20), default=1000, metavar="N", help="of --self-test (default: 1000)")
    add_json(parser)


def run(args: argparse.Namespace) -> ExitCode:
    from results.baseline_file import read_baseline
    from results.policy import read_policy
    from results.store import Run

    started = time.perf_counter()
    policy = read_policy(args.policy)
    if args.baseline is None and not args.self_test:
        raise UserError(
            "A gate compares with a baseline: name it with --baseline FILE, or save one with "
            f"`langgap baseline save {args.run_folder} --out FILE`.",
            ExitCode.BASELINE,
        )
    opened = Run.open(args.run_folder)
    for notice in opened.notices:
        print(f"langgap: {notice}", file=sys.stderr)
    if args.self_test:
        return _self_test(args, policy, opened)
    baseline = read_baseline(args.baseline)
    gate = _make(args, policy, opened, baseline)
    code = exit_code(gate)
    told = _told(args, gate, baseline, code)
    _keep(args.run_folder, opened, told)
    _write(args, gate, time.perf_counter() - started)
    if args.json:
        print_json(told)
    else:
        from rich.console import Console

        from reports.gate_terminal import print_gate

        console = Console(highlight=False)
        if not console.is_terminal:  # a log of CI, which is wide and is searched line by line
            console = Console(highlight=False, width=160)
        print_gate(gate, console, args.full)
    return code


def exit_code(gate: Gate) -> ExitCode:
    """A failure is certain whatever else is missing, so it comes first."""
    if gate.state == "fail":
        return ExitCode.REGRESSED
    if gate.state == "missing" or gate.is_stale:
        return ExitCode.BASELINE
    if gate.state == "inconclusive" and gate.policy.inconclusive == "block":
        return ExitCode.INCONCLUSIVE
    return ExitCode.OK


def _make(args: argparse.Namespace, policy: Policy, opened: Run, baseline: Baseline) -> Gate:
    from results.comparison_cells import from_run
    from results.gate import make_gate

    cells = from_run(opened)
    if not any(one.status == "ok" for one in cells):
        raise UserError(
            f"{args.run_folder} has no finished cell, so nothing can be compared. Finish it with `langgap sweep`.",
            ExitCode.BASELINE,
        )
    return make_gate(policy, baseline.cells, cells)


def _told(args: argparse.Namespace, gate: Gate, baseline: Baseline, code: ExitCode) -> dict[str, Any]:
    from reports.gate_json import gate_json

    last = baseline.changes[-1] if baseline.changes else None
    about = {name: getattr(last, name, None) for name in ("date", "who", "why", "commit")}
    return {**gate_json(gate), "baseline": {"file": args.baseline.name, **about}, "exit_code": int(code)}


def _keep(folder: Path, opened: Run, told: dict[str, Any]) -> None:
    """The verdict beside the run, for its page. A run that cannot be written to is judged all the same."""
    from reports.gate_file import keep_gate
    from results.files import StoreError

    try:
        keep_gate(folder, opened.records(), told, datetime.now(UTC).isoformat(timespec="seconds"))
    except StoreError as error:
        print(f"langgap: the verdict is not kept beside the run, so no page will show it: {error}", file=sys.stderr)


def _write(args: argparse.Namespace, gate: Gate, seconds: float) -> None:
    if args.junit or args.summary or args.annotations:
        from reports.gate_junit import junit
        from reports.gate_markdown import annotation_lines, gate_markdown
        from results.files import replace

        if args.junit:
            replace(args.junit, junit(gate, seconds))
        if args.summary and str(args.summary) == os.environ.get("GITHUB_STEP_SUMMARY"):
            with args.summary.open("a", encoding="utf-8") as file:  # other commands of the step write there too
                file.write(gate_markdown(gate))
        elif args.summary:
            replace(args.summary, gate_markdown(gate).encode())
        for line in annotation_lines(gate) if args.annotations else ():
            print(line, file=sys.stderr)


def _self_test(args: argparse.Namespace, policy: Policy, opened: Run) -> ExitCode:
    from reports.gate_json import self_test_json
    from reports.gate_text import self_test_sentence
    from results.comparison_cells import from_run
    from results.gate_selftest import NothingToSwap, self_test

    try:
        found = self_test(policy, from_run(opened), args.trials)
    except NothingToSwap as error:
        raise UserError(f"{args.run_folder}: {error}", ExitCode.BASELINE) from None
    if args.json:
        print_json(self_test_json(found))
    else:
        print(self_test_sentence(found))
    return ExitCode.OK if found.is_sound else ExitCode.REGRESSED
