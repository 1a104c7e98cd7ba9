"""The [[task]] tables of a sweep file."""

from __future__ import annotations

from collections.abc import Mapping

from harness import tasks
from harness.problems import listed, nearest, unknown
from harness.specs import JUDGED, TaskSpec
from harness.table import Table, fits, refuse_twins, wanted
from results.cell import Scalar


def tasks_of(top: Table, problems: list[str]) -> tuple[TaskSpec, ...]:
    """The tasks that are asked for; without any table, those that need no choice."""
    known = tasks.all_tasks()
    unasked = [
        {"name": name} for name, task in known.items() if not (task.needs_model or task.runs_model or task.later)
    ]
    tables = top.tables("task") if "task" in top.value else unasked
    specs = []
    for number, value in enumerate(tables, start=1):
        table = Table(value, f"[[task]] {number}", problems)
        name = table.text("name", None)
        if name not in known:
            table.problem(unknown("task", name, known) if name else f"it has no name. Known: {', '.join(known)}.")
            continue
        table.where += f" ({name})"
        if known[name].later:
            table.problem("it judges stored answers: write a [judge] table, or run `langgap judge RUN` afterwards.")
            continue
        only = _only(table, top)
        params: dict[str, Scalar] = {}
        for key, (default, *_) in known[name].fields.items():
            given = table.take(key)
            kind = "int | None" if default is None else type(default).__name__
            if isinstance(default, str) and isinstance(given, list) and all(isinstance(name, str) for name in given):
                given = ",".join(given)
            if key == "questions" and isinstance(given, Mapping) and given:
                given = ",".join(f"{code}={name}" for code, name in given.items())
            if given is not None and not fits(given, kind):
                table.problem(f"{key} is {given!r}, but must be {wanted(kind)}.")
            params[key] = default if given is None else given
        table.refuse_the_rest(("name", "only", *params), "parameter")
        if known[name].runs_model:
            for mistake in known[name].load().mistakes(params):
                table.problem(mistake)
        specs.append(TaskSpec(name, params, only))
    if not tables:
        top.problem(f"it names no task: add a [[task]] table, or --task. Known: {', '.join(known)}.")
    refuse_twins(top, "task", specs)
    return tuple(specs)


def _only(table: Table, top: Table) -> tuple[str, ...] | str | None:
    """The methods that a task is measured of, if it names any: some of the sweep's; or those that are judged."""
    if "only" not in table.value:
        return None
    if table.value["only"] == JUDGED:
        table.take("only")
        return JUDGED
    here = list(dict.fromkeys(str(method.get("name")) for method in top.tables("method")))
    only = table.names("only", ())
    for name in only:
        if name not in here:
            table.problem(
                f"only names '{name}', which is no method of this sweep.{nearest(name, here)} It has {listed(here)}."
            )
    return only
