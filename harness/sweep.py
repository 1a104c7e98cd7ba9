"""The sweep: look, plan, take what is not measured yet, measure it variant by variant, record, report."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness import executors
from harness.checkpoints import pinned
from harness.config import construct, to_toml
from harness.exits import ExitCode
from harness.facts import World, look, overlaps
from harness.history import SPREADS, Watch, add, spreads_of, text_sizes
from harness.livepage import LivePage
from harness.passes import Job
from harness.plan import Plan, PlannedVariant, make_plan
from harness.problems import UserError
from harness.progress import Reporter, reporting
from harness.specs import JUDGED, SweepConfig
from harness.tasks import all_tasks
from harness.variant import artifact_folder
from results.environment import Environment, capture
from results.files import file_digest
from results.labels import labels
from results.record import Record
from results.store import RECORDS, Run

if TYPE_CHECKING:
    from harness.judging import Judged
    from results.cell import Cell
    from results.conversation import Conversation
    from results.estimate import Sample


@dataclass(frozen=True)
class SweepOptions:
    out: Path
    cache: Path
    strict: bool = False
    """Whether skipped cells count as failures."""
    json: bool = False
    lang: str = "en"


def run_sweep(config: SweepConfig, options: SweepOptions) -> ExitCode:
    """Measure every cell of the sweep that is not in the run yet, and write its page.

    Raises UserError for mistakes in the configuration, StoreError when the run cannot be written.
    """
    for method in config.methods:
        construct(method)
    _require_cache(options.cache)
    config = pinned(config, options.cache)
    if config.judging is not None:
        from harness.jury import check  # only here: who judges nothing waits for none of what judging imports

        check(config.judging, config.languages, options.cache)
    with Run.open(options.out, write=True) as run, reporting() as reporter:
        for notice in run.notices:
            reporter.notice(notice)
        world = look(config, options.cache, reporter.phase)
        plan = make_plan(config, world.facts)
        for note in plan.notes:
            reporter.notice(note)
        live = LivePage(options.out, options.lang, reporter.notice)
        measure(config, plan, world, run, options.cache, reporter, live)
        if any(task.only == JUDGED for task in config.tasks):
            config, plan = _let_the_best_answer(config, plan, world, run, options.cache, reporter)
        judged = _judge(config, run, options.cache, reporter)
    cells = (*plan.cells, *(judged.cells if judged else ()))
    left = [record for cell in cells if (record := run.record(cell.key)) and record.status != "ok"]
    _publish(options, run)
    return ExitCode.INCOMPLETE if judged and judged.stopped else _exit_code(left, options.strict)


def _let_the_best_answer(
    config: SweepConfig, plan: Plan, world: World, run: Run, cache: Path, reporter: Reporter
) -> tuple[SweepConfig, Plan]:
    """Have the variants that are to be judged write their answers: the plan with them, and no judging without any."""
    from harness.contestants import to_answer

    variants = [planned.variant for planned in plan.variants]
    try:
        chosen = to_answer(variants, run.records(), config.judging) if config.judging else set()
    except UserError as error:
        reporter.notice(f"nobody is judged: {error}")
        return replace(config, judging=None), plan
    plan = make_plan(config, world.facts, chosen)
    answers = [cell for cell in plan.cells if all_tasks()[cell.task].asks_questions and cell.variant.key in chosen]
    if not answers:
        reporter.notice("nobody is judged: no compressed variant was measured, or none has questions in its languages")
        return replace(config, judging=None), plan
    named = labels(variants)
    reporter.notice(f"to be judged: {', '.join(named[key] for key in dict.fromkeys(c.variant.key for c in answers))}")
    measure(config, plan, world, run, cache, reporter)
    return config, plan


def _judge(config: SweepConfig, run: Run, cache: Path, reporter: Reporter) -> Judged | None:
    """The judging phase, if the sweep has one. What was measured is shown even where nobody could be judged."""
    if config.judging is None:
        if any(all_tasks()[task.name].asks_questions and task.only != JUDGED for task in config.tasks):
            reporter.notice(
                "the answers are not judged, for no judge is named; name one of `langgap judges` with: "
                f"langgap judge {run.folder} --judge NAME"
            )
        return None
    from harness.judging import Judged, judge_run
    from judges.problems import JudgingError

    try:
        judged = judge_run(run, config.judging, cache, reporter)
    except (UserError, JudgingError) as error:
        judged = Judged((), f"not judged: {error}")
    for told in (judged.spent, judged.stopped):
        if told:
            reporter.notice(told)
    return judged


def _require_cache(cache: Path) -> None:
    """Raise UserError where artifacts cannot be kept: known before the first is made."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The cache {cache} cannot be made ({error.strerror}); name another folder with --cache or LANGGAP_CACHE."
        ) from None
    if not os.access(cache, os.W_OK):
        raise UserError(f"The cache {cache} cannot be written; name another folder with --cache or LANGGAP_CACHE.")


def measure(
    config: SweepConfig,
    plan: Plan,
    world: World,
    run: Run,
    cache: Path,
    reporter: Reporter,
    live: LivePage | None = None,
) -> None:
    """Bring the run up to the plan: one record for each cell whose latest is not ok."""
    run.config(to_toml(config))
    told = len(run.notices)
    pending = run.pending(plan.cells)
    for notice in run.notices[told:]:
        reporter.notice(notice)
    reporter.expect(len(pending), already=len(plan.cells) - len(pending))
    if not pending:
        return
    environment = run.add_environment(_environment())
    shared = overlaps(config, world)
    if shared and config.overlap == "refuse":
        said = " ".join(dict.fromkeys(shared.values()))
        raise UserError(f'{said} The sweep says overlap = "refuse", so nothing is measured.')
    named = labels([planned.variant for planned in plan.variants])
    made = [it.variant.key for it in plan.variants if (artifact_folder(cache, it) / "manifest.json").is_file()]
    watch = Watch(cache, plan, text_sizes(world.texts), made)
    if live is not None:
        live.expect((planned.variant for planned in plan.variants), pending)

    def keep(record: Record, samples: tuple[Sample, ...] = (), conversations: tuple[Conversation, ...] = ()) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        notes = dict(record.notes)
        if found := shared.get((record.cell.variant.calibration or "", record.cell.text)):
            notes["overlap"] = found
        run.append(replace(record, environment=environment, created=now, notes=notes), samples, conversations)
        watch.saw(record)
        reporter.finished(record, named[record.cell.variant.key])
        if live is not None:
            live.saw(record)

    jobs = _jobs(config, plan, world, run, cache, {cell.key for cell in pending}, keep)
    for outcome in executors.outcomes(config, jobs, world, cache, reporter.phase):
        keep(*outcome)
    watch.save()


def _jobs(
    config: SweepConfig,
    plan: Plan,
    world: World,
    run: Run,
    cache: Path,
    pending: set[str],
    keep: Callable[[Record], None],
) -> Iterator[Job]:
    """The variants with work left, each when its turn comes: cells whose reference failed are recorded as skipped."""
    originals: dict[str, PlannedVariant] = {}
    for planned in plan.variants:
        original = originals.setdefault(planned.variant.model, planned)
        cells: list[Cell] = []
        for cell in planned.cells:
            others = cell.reference and planned.variant != original.variant
            reference = run.record(cell.reference) if others and cell.reference else None
            if reference is None or reference.status == "ok":
                cells.append(cell)
            elif cell.key in pending:
                keep(Record(cell, "skipped", reason=f"no reference: `none` {reference.status} ({reference.reason})"))
        left = tuple(cell for cell in cells if cell.key in pending)
        if left:
            able = replace(planned, cells=tuple(cells))
            found = world.models[planned.variant.model]
            told = {name: found.notes[name] for name in ("origin", "device_map") if name in found.notes}
            yield Job(config, able, left, original, found.source, cache, told)


def _environment() -> Environment:
    """What produces this sweep's numbers, torch's threads and the GPU included."""
    import torch

    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return capture(torch.get_num_threads(), accelerator)


def _publish(options: SweepOptions, run: Run) -> None:
    """Write the page and say on stdout what was found and where it is; keep the spreads for later plans."""
    from results.claims import make_claims

    page = _page(options)
    claims = make_claims(run)
    add(options.cache / SPREADS, spreads_of(claims))
    if options.json:
        import json

        value = {
            "run": str(options.out),
            "report": str(page),
            "records": [record.to_json() for record in run.records()],
        }
        json.dump(value, sys.stdout, ensure_ascii=False, allow_nan=False)
        print()
        return
    from rich.console import Console

    from reports.terminal import print_summary

    print_summary(claims, run, Console(width=None if sys.stdout.isatty() else 120), options.lang)
    print(f"{page}")


def _page(options: SweepOptions) -> Path:
    """The run's page: the one that is there if it is finished, in this language and made of these records."""
    page = options.out / "report.html"
    if page.is_file():
        with page.open(encoding="utf-8") as file:
            start = file.read(200)
        if f'lang="{options.lang}"' in start and f'content="{file_digest(options.out / RECORDS)}"' in start:
            return page
    from reports.html import write_report

    return write_report(options.out, options.lang)


def _exit_code(left: list[Record], strict: bool) -> ExitCode:
    if any(record.status == "failed" or strict for record in left):
        return ExitCode.INCOMPLETE
    return ExitCode.OK
