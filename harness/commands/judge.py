"""``judge``: stored answers before a judge, as a phase of its own; and ``judges``, which lists who can judge."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands._text import Commands, add_cache, add_command, add_json, at_least, columns, print_json
from harness.exits import ExitCode
from harness.problems import UserError, listed, together, unknown

if TYPE_CHECKING:
    from harness.specs import JudgingSpec
    from results.record import Record
    from results.reliability import Card
    from results.store import Run

JUDGE = """
Show the answers that a sweep stored to a judge, pair by pair and in both orders, and record win
rates for each language. Nothing is generated again, and no verdict is asked for twice: the same
command goes on where it was interrupted. Without --judge the run's own [judge] table is used.

examples:
  langgap judge runs/default --judge local:bundled:gemma-3-270m
  langgap judge runs/ko --judge api:model=NAME,base_url=http://127.0.0.1:8000/v1 --dry-run
  langgap judge runs/ko --judge api:NAME,input_price=2,output_price=8 --best 2 --budget 20usd
  langgap judge runs/ko --judge api:NAME --duels           the variants against each other
  langgap judge runs/ko --judge replay:judgements.jsonl    recorded verdicts again
  langgap judge runs/ko --export fastchat                  what was judged, in FastChat's folder layout
  langgap judge runs/ko --bridge                           two judges of the same answers compared
  langgap judge --labels pairs.json --judge api:NAME       no run: how often a judge says what people said
"""

JUDGES = """
List the judges, or the parameters of one.

examples:
  langgap judges
  langgap judges api
"""


def add(commands: Commands) -> None:
    judge = add_command(commands, "judge", "judge stored answers pair by pair, in both orders", JUDGE, run)
    judge.add_argument(
        "folder", type=Path, metavar="RUN", nargs="?", help="a run folder with records of the task answers"
    )
    judge.add_argument(
        "--judge",
        action="append",
        metavar="NAME[:key=value,...]",
        help="`langgap judges` lists them; repeatable: a panel",
    )
    who = judge.add_argument_group("who is judged")
    who.add_argument("--against", metavar="VARIANT", help="the opponent of all: a method or label (default: none)")
    who.add_argument("--variant", action="append", metavar="VARIANT", help="only this one; repeatable")
    who.add_argument("--best", type=at_least(1), metavar="N", help="only the N least changed variants of each model")
    who.add_argument("--by", metavar="TASK", help="what --best goes by: fidelity (the default), perplexity or bits")
    who.add_argument("--duels", action="store_true", help="the variants against each other, not against one opponent")
    who.add_argument("--no-aa", action="store_true", help="do not show `none` against itself")
    how = judge.add_argument_group("how")
    how.add_argument("--budget", metavar="B", help="200calls, 20usd or both with a comma; stops before it is passed")
    how.add_argument("--concurrency", type=at_least(1), metavar="N", help="requests at a time (default: 8)")
    how.add_argument("--labels", type=Path, metavar="FILE", help="pairs that people judged, for the reliability card")
    how.add_argument("--pairs", type=at_least(1), metavar="N", help="only the first N of the labelled pairs")
    how.add_argument("--dry-run", action="store_true", help="say what it would cost and ask nobody")
    how.add_argument("--strict", action="store_true", help="exit 3 for skipped cells too, not only for failed ones")
    how.add_argument("--export", choices=("fastchat",), help="write RUN/fastchat/ of what is judged")
    how.add_argument("--bridge", action="store_true", help="what changes from one of the run's judges to the next")
    add_cache(judge)
    add_json(judge)
    judges = add_command(commands, "judges", "list judges and their parameters", JUDGES, run_judges)
    judges.add_argument("name", nargs="?", metavar="NAME", help="show the parameters of this one")
    add_json(judges)


def run(args: argparse.Namespace) -> ExitCode:
    given = (args.judge, args.against, args.variant, args.best, args.by, args.budget, args.concurrency, args.labels)
    judges = args.duels or args.dry_run or any(value is not None for value in given)
    spec = read_spec(args) if judges or not (args.export or args.bridge) else None
    if args.folder is None:
        return _agree(args, spec)
    from results.store import Run

    Run.open(args.folder)  # says what is wrong with a folder that is no run, which opening to write would make
    left: list[Record] = []
    stopped = False
    if spec is not None:
        from harness.judging import judge_run
        from harness.progress import reporting

        with Run.open(args.folder, write=True) as opened, reporting() as reporter:
            for notice in opened.notices:
                reporter.notice(notice)
            judged = judge_run(opened, spec, args.cache, reporter, args.dry_run, args.labels, args.pairs)
            for told in (judged.spent, judged.stopped):
                if told:
                    reporter.notice(told)
        if args.dry_run:
            return ExitCode.OK
        found = [record for cell in judged.cells if (record := opened.record(cell.key))]
        left = [record for record in found if record.status != "ok"]
        stopped = judged.stopped is not None
        _show(args, opened, found)
    if args.bridge:
        from results.bridge import bridges

        said = [bridge.sentence for bridge in bridges(Run.open(args.folder))]
        print("\n".join(said) or "No two judges have matches in common.")
    if args.export:
        from harness.fastchatfolder import export

        for path in export(Run.open(args.folder)):
            print(path)
    bad = stopped or any(record.status == "failed" or args.strict for record in left)
    return ExitCode.INCOMPLETE if bad else ExitCode.OK


def _agree(args: argparse.Namespace, spec: JudgingSpec | None) -> ExitCode:
    """Without a run: a judge beside people."""
    from harness.progress import reporting

    if args.labels is None or spec is None:
        raise UserError(
            "give a RUN to judge, as in `langgap judge runs/default`; or --labels FILE, to see how often a judge says "
            "what people said."
        )
    from harness.humanlabels import agree
    from judges.problems import BudgetReached

    with reporting() as reporter:
        try:
            found = agree(args.labels, spec, args.cache, reporter, args.pairs, args.dry_run)
        except BudgetReached as reached:
            reporter.notice(str(reached))
            return ExitCode.INCOMPLETE
    if args.json:
        print_json([{**vars(one), "average": one.average.to_json(), "sentence": one.sentence} for one in found])
    for one in () if args.json else found:
        print(f"{one.sentence}.")
    return ExitCode.OK


def read_spec(args: argparse.Namespace) -> JudgingSpec:
    """The options over the run's own [judge] table; over nothing where --judge is given."""
    from harness.judgelist import JUDGES as known
    from harness.judgelist import parse_judge, read_judging

    if args.judge:
        panel = [parse_judge(text) for text in args.judge]
        value: dict[str, Any] = dict(panel[0]) if len(panel) == 1 else {"panel": panel}
    else:
        value = _own(args.folder) if args.folder else {}
        if not value:
            raise UserError(
                f"nobody is named to judge: give --judge NAME, one of {listed(known)}; see `langgap judges`."
            )
    options = {
        "against": args.against,
        "variants": args.variant,
        "best": args.best,
        "by": args.by,
        "concurrency": args.concurrency,
        "budget": args.budget,
        "duels": True if args.duels else None,
        "aa": False if args.no_aa else None,
    }
    problems: list[str] = []
    value |= {name: option for name, option in options.items() if option is not None}
    spec = read_judging(value, "", problems)
    if problems or spec is None:
        raise together("the command line" if args.judge else f"the [judge] table of {args.folder}", problems)
    return spec


def _own(folder: Path) -> dict[str, Any]:
    """The [judge] table of the latest sweep that had one."""
    files = sorted(folder.glob("sweep-*.toml"), key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    tables = (tomllib.loads(path.read_text(encoding="utf-8")).get("judge") for path in files)
    return next((dict(table) for table in tables if table), {})


def _show(args: argparse.Namespace, opened: Run, found: list[Record]) -> None:
    from results.reliability import cards

    told = cards(opened)
    if args.json:
        print_json({"records": [record.to_json() for record in found], "cards": [card.to_json() for card in told]})
        return
    print(table(found))
    for card in told:
        print(f"\n{card_line(card)}\n{card.sentence}")
    print(f"\nOn the page: langgap report {args.folder}")


def table(records: list[Record]) -> str:
    """One line for each pairing and language."""
    from results.labels import labels

    named = labels(record.cell.variant for record in records)
    header = ("language", "variant", "against", "win rate", "conservative", "gated", "consistent", "ties", "errors")
    metrics = ("win_rate", "win_rate_conservative", "win_rate_gated", "position_consistency", "ties", "errors")
    rows = []
    for record in records:
        cell = record.cell
        start = (cell.language, named[cell.variant.key], record.notes.get("opponent", ""))
        if record.status != "ok":
            rows.append((*start, f"{record.status}: {record.reason}", *[""] * 5))
        else:
            rows.append((*start, *(_percent(record.estimates.get(name)) for name in metrics)))
    return columns(header, rows)


def card_line(card: Card) -> str:
    said = {
        "consistency": _percent(card.consistency),
        "first slot": _percent(card.first_slot_share),
        "ties": _percent(card.ties),
        "A/A ties": _percent(card.aa_ties),
        "between jurors": "" if card.between_jurors is None else f"{card.between_jurors:.0%}",
        "with people": "" if card.with_people is None else _percent(card.with_people),
    }
    return f"{card.model} in {card.language}: " + ", ".join(f"{name} {value}" for name, value in said.items() if value)


def _percent(estimate: Any) -> str:
    if estimate is None:
        return "-"
    low, high = estimate.low, estimate.high
    return f"{estimate.value:.0%}" + ("" if low is None else f" [{max(low, 0):.0%}, {min(high, 1):.0%}]")


def run_judges(args: argparse.Namespace) -> ExitCode:
    from harness.judgelist import JUDGES as known

    if args.name is not None and args.name not in known:
        raise UserError(unknown("judge", args.name, known))
    chosen = {name: kind for name, kind in known.items() if args.name in (None, name)}
    if args.json:
        print_json(
            {
                name: {"summary": kind.summary, "parameters": {key: vars(it) for key, it in kind.fields.items()}}
                for name, kind in chosen.items()
            }
        )
    elif args.name is None:
        print(columns(("judge", "what it is"), [(name, kind.summary) for name, kind in chosen.items()]))
    else:
        kind = chosen[args.name]
        rows = [(key, "-" if it.default is None else it.default, it.help) for key, it in kind.fields.items()]
        print(f"{args.name}: {kind.summary}\n\n" + columns(("parameter", "default", "what it is"), rows))
    return ExitCode.OK
