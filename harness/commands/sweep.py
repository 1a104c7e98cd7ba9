"""``sweep`` and ``plan``: the same options, the one to measure, the other to see what would be measured."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands._text import Commands, add_cache, add_command, add_json, at_least, columns, print_json
from harness.exits import ExitCode

if TYPE_CHECKING:
    from harness.plan import Plan
    from harness.specs import SweepConfig
    from results.cell import Variant

SWEEP = """
Compress a model by every method named, measure each result in every language named, and
write the run folder with its page. Without CONFIG it runs the default sweep on the bundled
model. Options given here replace what the file says.

A sweep can be interrupted at any moment: the same command goes on where it stopped, and
a finished one measures nothing again. One failing variant never costs the others.

examples:
  langgap sweep --quick                                    a first look, within three minutes
  langgap sweep                                            the default sweep
  langgap sweep examples/calibration.toml --dry-run        what it would do
  langgap sweep --model google/gemma-3-1b-pt --method rtn:bits=[3,4] --method awq:bits=4
  langgap sweep --languages en,ko --method awq:calibration.languages={ko=1}
"""

PLAN = """
Print the cells of a sweep, what is already measured and what is left, how long that will take
and the smallest effects it can show; run nothing. It reads the model's tokenizer and the texts,
since a cell is identified by what it would read. Forecasts go by what earlier sweeps took.

examples:
  langgap plan                              the default sweep's cells
  langgap plan examples/calibration.toml --json
  langgap plan --toml                       the configuration with every default spelled out
  langgap plan judged.toml --effect 3.6     would 3.6 points between methods be found?
"""


def add(commands: Commands) -> None:
    sweep = add_command(commands, "sweep", "compress, measure in every language, write the page", SWEEP, run_sweep)
    _add_options(sweep)
    sweep.add_argument("--dry-run", action="store_true", help="print cells and cache hits, measure nothing")
    sweep.add_argument("--strict", action="store_true", help="exit 3 for skipped cells too, not only for failed ones")
    sweep.add_argument("--lang", choices=("en", "ko"), default="en", help="the page's language (default: en)")
    plan = add_command(commands, "plan", "what a sweep would measure, and what is done already", PLAN, run_plan)
    _add_options(plan)
    plan.add_argument("--toml", action="store_true", help="print the resolved configuration instead")
    plan.add_argument(
        "--effect",
        action="append",
        type=points,
        metavar="POINTS",
        help="what judging can tell of such a difference between two methods' win rates, as in 3.6; repeatable",
    )


def points(text: str) -> float:
    """An argparse type: percentage points, as a share."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"'{text}' is no difference between two win rates: points above 0, below 100")
    return value / 100


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", type=Path, metavar="CONFIG.toml", help="a sweep file (see examples/)")
    what = parser.add_argument_group("what to measure")
    what.add_argument(
        "--model",
        action="append",
        metavar="M",
        help="org/name[@revision], a folder, file.gguf or bundled:NAME; repeatable",
    )
    what.add_argument(
        "--method",
        action="append",
        metavar="NAME[:key=value,...]",
        help="`langgap methods` lists them; a [list] is a grid; repeatable",
    )
    what.add_argument(
        "--task", action="append", metavar="NAME[:key=value,...]", help="`langgap tasks` lists them; repeatable"
    )
    what.add_argument("--languages", metavar="CODES", help="such as en,ko,th")
    what.add_argument("--limit", type=at_least(1), metavar="N", help="at most N test passages per language")
    what.add_argument("--draws", type=at_least(1), metavar="K", help="repeat over K draws of calibration text")
    what.add_argument("--quick", action="store_true", help="the three-minute sweep; with CONFIG: 3 passages and 1 draw")
    how = parser.add_argument_group("how")
    how.add_argument("--seed", type=at_least(0), metavar="N", help="everything random but the draws")
    how.add_argument("--dtype", metavar="T", help="auto, float32, bfloat16 or float16")
    how.add_argument("--device", metavar="D", help="auto, cpu, cuda or cuda:N")
    how.add_argument("--executor", metavar="E", help="where variants run: local, or ray for a cluster")
    where = parser.add_argument_group("where")
    where.add_argument("--out", metavar="DIR", help="the run folder (default: runs/<name>)")
    add_cache(where)  # type: ignore[arg-type]
    add_json(parser)


def read_config(args: argparse.Namespace) -> SweepConfig:
    """The file, or the default sweep, with the options over it."""
    from harness.config import default_file, parse_config, read_toml
    from harness.overrides import overridden

    path = args.config or default_file(args.quick)
    where = str(args.config) if args.config else "the command line"
    return parse_config(overridden(read_toml(path), args), where, default_name=path.stem)


def out_folder(config: SweepConfig) -> Path:
    return Path(config.out) if config.out else Path("runs") / config.name


def run_sweep(args: argparse.Namespace) -> ExitCode:
    config = read_config(args)
    if args.dry_run:
        return show_plan(config, args)
    from harness.sweep import SweepOptions
    from harness.sweep import run_sweep as run

    return run(config, SweepOptions(out_folder(config), args.cache, args.strict, args.json, args.lang))


def run_plan(args: argparse.Namespace) -> ExitCode:
    config = read_config(args)
    if not args.toml:
        return show_plan(config, args)
    from harness.config import to_toml

    print(to_toml(config), end="")
    return ExitCode.OK


def show_plan(config: SweepConfig, args: argparse.Namespace) -> ExitCode:
    """Print every variant with what is measured of it, what the rest will cost, and what the sweep can show."""
    from harness.checkpoints import pinned
    from harness.commands import _outlook
    from harness.config import construct
    from harness.facts import look
    from harness.plan import make_plan
    from harness.progress import reporting
    from harness.variant import artifact_folder

    for method in config.methods:
        construct(method)
    config = pinned(config, args.cache)
    with reporting() as reporter:
        world = look(config, args.cache, reporter.phase)
        plan = make_plan(config, world.facts)
        for note in plan.notes:
            reporter.notice(note)
    done = finished(plan, out_folder(config))
    made = {it.variant.key for it in plan.variants if (artifact_folder(args.cache, it) / "manifest.json").is_file()}
    effects = getattr(args, "effect", None) or ()
    outlook = _outlook.look_ahead(config, plan, world, done, made, args.cache, effects)
    if args.json:
        print_json({**to_json(plan, done, made), "forecast": _outlook.to_json(outlook)})
    else:
        print(shown(plan, done, made, _outlook.shown(outlook)))
    return ExitCode.OK


def finished(plan: Plan, folder: Path) -> set[str]:
    """Keys of the cells whose latest record in this run folder is ok."""
    from results.store import RECORDS, Run

    if not (folder / RECORDS).exists():
        return set()
    left = {cell.key for cell in Run.open(folder).pending(plan.cells)}
    return {cell.key for cell in plan.cells} - left


def shown(plan: Plan, done: set[str], made: set[str], outlook: str = "") -> str:
    """One line per variant: what it is, its cells, how many are measured, and whether its artifact is cached.

    What is the same for all variants stands above the table, once; ``outlook`` below it.
    """
    rows = [
        {
            "variant": it.variant.key[:8],
            "model": it.variant.model,
            "method": _label(plan, it.variant),
            "calibration": it.variant.calibration_label or "-",
            "draw": str(it.draw),
            "tasks": " ".join(dict.fromkeys(cell.task for cell in it.cells)),
            "languages": " ".join(dict.fromkeys(cell.language for cell in it.cells if cell.text)) or "-",
            "done": f"{sum(cell.key in done for cell in it.cells)}/{len(it.cells)}",
            "artifact": "cached" if it.variant.key in made else "-",
        }
        for it in plan.variants
    ]
    same = [name for name in ("model", "draw", "languages") if len({row[name] for row in rows}) == 1]
    header = [name for name in rows[0] if name not in same]
    lines = [f"{name}: {rows[0][name]}" for name in same]
    table = columns(header, [[row[name] for name in header] for row in rows])
    total = len(plan.cells)
    counted = f"{total} cells, {len(done)} measured, {total - len(done)} to do."
    return "\n".join([*lines, "", table, "", *([outlook, ""] if outlook else []), counted])


def _label(plan: Plan, variant: Variant) -> str:
    """Method, its first parameter, and those that are not as by default or differ within the plan."""
    import methods

    twins = [it.variant.params for it in plan.variants if it.variant.method == variant.method]
    shown = [
        f"{name}={variant.params[name]}"
        for place, (name, field) in enumerate(methods.fields(variant.method).items())
        if not place or variant.params[name] != field.default or any(p[name] != variant.params[name] for p in twins)
    ]
    return " ".join([variant.method, *shown])


def to_json(plan: Plan, done: set[str], made: set[str]) -> dict[str, Any]:
    cells = [
        {"key": cell.key, "done": cell.key in done, "artifact": cell.variant.key in made, "cell": cell.to_json()}
        for cell in plan.cells
    ]
    return {"cells": cells, "notes": list(plan.notes)}
