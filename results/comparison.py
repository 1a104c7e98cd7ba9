"""What differs between a baseline and a run beside the numbers, and whether they may be compared at all.

fatal     other weights, task, prompt, judge or items: two numbers of different things; such a cell is not compared
warning   another library, precision, device or calibration text: compared, and said
info      what may change between two runs: the artifact itself, our commit, the processor
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from results.comparison_cells import Couple, Measured
from results.reliability import SHUTDOWN
from results.reliability import TASK as JUDGED

Severity = Literal["fatal", "warning", "info"]
ENGINES = ("torch", "transformers", "tokenizers", "lm-eval", "bitsandbytes", "llmcompressor", "gptqmodel", "openai")
"""Libraries another version of which may move a number."""
REVISIONS = ("dataset_revision", "revision")


@dataclass(frozen=True)
class Mismatch:
    severity: Severity
    kind: str
    """``model``, ``task``, ``items``, ``prompt``, ``judge``, ``precision``, ``engine`` ..."""
    sentence: str


def mismatches(couple: Couple, max_unmatched: float = 0.01) -> list[Mismatch]:
    """What differs within one couple; nothing where one of the two is lacking."""
    old, new = couple.expected, couple.found
    if old is None or new is None or new.status != "ok":
        return []
    a, b = old.cell, new.cell
    found = []

    def differ(severity: Severity, kind: str, was: object, now: object, what: str) -> None:
        if was != now:
            found.append(Mismatch(severity, kind, f"{what}: {_said(was)} in the baseline, {_said(now)} in the run"))

    if a.variant.weights != b.variant.weights:
        was, now = (f"'{v.model}' ({v.weights[:8]})" for v in (a.variant, b.variant))
        found.append(Mismatch("fatal", "model", f"another model: {was} in the baseline, {now} in the run"))
    differ("fatal", "task", a.task_version, b.task_version, f"the version of task {a.task}")
    for name in sorted({*a.params, *b.params}):
        kind = "judge" if a.task == JUDGED else "task"
        differ("fatal", kind, a.params.get(name), b.params.get(name), f"{kind} parameter {name}")
    if set(old.ids) == set(new.ids):
        differ("fatal", "prompt", old.notes.get("prompts"), new.notes.get("prompts"), "the prompts")
    elif len(strange := set(new.ids) - set(old.ids)) > max_unmatched * len(new.ids):
        told = f"another item set: {len(strange)} of the run's {len(new.ids)} items are not in the baseline"
        found.append(Mismatch("fatal", "items", told))
    differ("warning", "precision", a.variant.dtype, b.variant.dtype, "the dtype it computes in")
    differ("warning", "device", a.variant.device, b.variant.device, "the device class")
    differ("warning", "calibration", a.variant.calibration, b.variant.calibration, "the calibration tokens")
    differ("info", "code", a.variant.code, b.variant.code, f"our version of {a.variant.method}")
    differ("info", "artifact", old.artifact, new.artifact, "the artifact")
    if a.task == JUDGED:
        differ("warning", "judge", old.notes.get("reported"), new.notes.get("reported"), "the model that judged")
    for name in REVISIONS:
        differ("warning", "dataset", old.notes.get(name), new.notes.get(name), "the data set's revision")
    return [*found, *_engines(old, new)]


def _engines(old: Measured, new: Measured) -> list[Mismatch]:
    a, b = old.environment, new.environment
    if a is None or b is None or a == b:
        return []
    found = []
    for name in sorted({*a.libraries, *b.libraries}):
        was, now = a.libraries.get(name), b.libraries.get(name)
        if was != now and name != "langgap":
            severity: Severity = "warning" if name in ENGINES else "info"
            found.append(Mismatch(severity, "engine", f"{name}: {_said(was)} in the baseline, {_said(now)} in the run"))
    facts: tuple[tuple[Severity, str, str, object, object], ...] = (
        ("warning", "accelerator", "the accelerator", a.accelerator, b.accelerator),
        ("info", "machine", "the processor", a.cpu, b.cpu),
        ("info", "machine", "threads", dict(a.threads), dict(b.threads)),
        ("info", "machine", "Python", a.python, b.python),
        ("info", "commit", "our commit", a.commit, b.commit),
    )
    for severity, kind, what, before, after in facts:
        if before != after:
            told = f"{what}: {_said(before)} in the baseline, {_said(after)} in the run"
            found.append(Mismatch(severity, kind, told))
    return found


def gathered(found: Iterable[tuple[Couple, Mismatch]]) -> list[tuple[Mismatch, int]]:
    """Each mismatch once, with the number of cells that show it: the fatal ones first."""
    counts: dict[Mismatch, int] = {}
    for _, mismatch in found:
        counts[mismatch] = counts.get(mismatch, 0) + 1
    order = {"fatal": 0, "warning": 1, "info": 2}
    return sorted(counts.items(), key=lambda item: order[item[0].severity])


def staleness(cells: Iterable[Measured], max_age_days: float | None, now: datetime) -> list[str]:
    """What has grown old: cells measured too long ago, judges that are gone or soon will be."""
    cells = list(cells)
    ages = [age for one in cells if (age := _age(one.created, now)) is not None]
    said = []
    if max_age_days is not None and ages and max(ages) > max_age_days:
        old = sum(age > max_age_days for age in ages)
        said.append(
            f"{old} of {len(cells)} cells of the baseline are older than {max_age_days:g} days "
            f"(the oldest: {max(ages):.0f}); measure again and `langgap baseline update --reason ...`"
        )
    dates = {one.notes[SHUTDOWN] for one in cells if SHUTDOWN in one.notes}
    for date in sorted(dates):
        left = _age(date, now)
        if left is not None and left >= 0:
            said.append(
                f"the judge of the baseline was to be shut down on {date[:10]}: its win rates cannot be repeated"
            )
        elif left is not None and left > -30:
            said.append(f"the judge of the baseline is to be shut down on {date[:10]}: judge again with another soon")
    if any(one.environment is not None and one.environment.dirty for one in cells):
        said.append("the baseline was measured by code with uncommitted changes")
    return said


def _age(date: str | None, now: datetime) -> float | None:
    """Days since an ISO date; None where it is none."""
    try:
        moment = datetime.fromisoformat(date or "")
    except ValueError:
        return None
    return (now - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))).total_seconds() / 86400


def _said(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={inner}" for key, inner in value.items()) or "nothing"
    if isinstance(value, str) and len(value) == 32 and all(c in "0123456789abcdef" for c in value):
        return value[:8]
    return "nothing" if value is None else f"'{value}'" if isinstance(value, str) else str(value)
