"""One variant's life: compress, load back from disk, weigh, read each text once, measure. Yields one outcome per cell.

A job is plain data, so that it can be run here or on another machine. Nothing that goes wrong in it costs more than
the cells it concerns: a failed compression fails the variant's cells, a failed reading those of one language.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.config import construct
from harness.facts import calibrate
from harness.passes import Job, Read, hidden_store, keep_reading, passages_of, passes, protocol_of
from harness.plan import PlannedVariant, is_second
from harness.problems import Unavailable
from harness.tasks import all_tasks
from methods._lease import lease
from methods.base import Compressed, MissingLibrary, Progress
from results.cell import Cell
from results.conversation import Conversation
from results.estimate import Measurement, Sample
from results.record import Record, Status

if TYPE_CHECKING:
    from harness.languagemodel import LanguageModel
    from harness.readings import Reading


MOST_REASONS = 12
"""Why layers were left as they were, that a record's note tells one by one."""


class Outcome(NamedTuple):
    record: Record
    samples: tuple[Sample, ...]
    conversations: tuple[Conversation, ...] = ()


class NoReference(ValueError):
    """The hidden states of `none` are gone and could not be made again; the message is the reason in a record."""


def run_variant(job: Job, progress: Progress) -> Iterator[Outcome]:
    """Measure every cell of the job. Raises only what no variant can survive: interruption and a failing store."""
    from harness.models import check_bos

    _hush()
    seconds: dict[str, float] = {}
    try:
        check_bos(job.source)
        with _timed(seconds, "reference"):
            lost = _restore_references(job, progress)
        with _timed(seconds, "compress"):
            made = artifact(job.planned, job, progress)
        with _timed(seconds, "load"):
            made, lm = _loaded(made, job.planned, job, progress)
    except Exception as error:
        for cell in job.cells:
            yield _unmeasured(cell, error, seconds)
        return
    notes = {**job.notes, **_notes(made)}
    for cell in job.cells:
        if all_tasks()[cell.task].weighs:
            yield _measured(cell, made, seconds, notes, made.folder)
            seconds = {}
    for cell in job.cells:
        if all_tasks()[cell.task].runs_model:
            yield _measured(cell, made, seconds, notes, made.folder, lm, cell.params, progress)
            seconds = {}
    for cells, read in passes(job):
        asked = [cell for cell in cells if cell in job.cells]
        for cell in (cell for cell in asked if cell.reference in lost):
            yield _unmeasured(cell, lost[cell.reference], seconds, made)
            seconds = {}
        pending = [cell for cell in asked if cell.reference not in lost]
        if not pending:
            continue
        try:
            with _timed(seconds, "read"):
                reading = _read(read, lm, [cell for cell in cells if cell.reference not in lost], job, progress)
        except Exception as error:
            for cell in pending:
                lost[cell.key] = NoReference(f"no reference: `none` could not be read ({reason(error)})")
                yield _unmeasured(cell, error, seconds, made)
            seconds = {}
            continue
        for cell in pending:
            yield _measured(cell, made, seconds, notes, reading)
            seconds = {}
    answers = job.cache / "responses" / made.digest
    shares = _write_ahead(lm, job.cells, answers, progress)
    for cell in (cell for cell in job.cells if all_tasks()[cell.task].needs_model):
        seconds |= shares.get(cell.key, {})
        once_more = (True,) if is_second(cell) else ()
        asked_of = (lm, cell.params, cell.language, cell.limit, answers, progress, *once_more)
        yield _measured(cell, made, seconds, notes, *asked_of)
        seconds = {}


def answered_together(cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """Those of a variant's cells whose questions are asked in common batches, in all languages."""
    from harness import answers

    return tuple(cell for cell in cells if cell.task == answers.NAME)


def _write_ahead(
    lm: LanguageModel, cells: Sequence[Cell], answers: Path, progress: Progress
) -> dict[str, dict[str, float]]:
    """Answer the questions of several cells in common batches. Cell key -> the seconds that are its share of it."""
    from harness import answers as task

    asking = answered_together(cells)
    if len(asking) < 2:
        return {}
    seconds: dict[str, float] = {}
    with _timed(seconds, "measure"):
        task.write_ahead(lm, [(cell.params, cell.language, cell.limit) for cell in asking], answers, progress)
    return {cell.key: {"measure": seconds["measure"] / len(asking)} for cell in asking}


def artifact_folder(cache: Path, planned: PlannedVariant) -> Path:
    """Where a variant's artifact lies: by everything that defines it, so that another base or parameter misses."""
    return cache / "artifacts" / planned.variant.key


def artifact(planned: PlannedVariant, job: Job, progress: Progress) -> Compressed:
    """The variant's artifact on disk: an earlier one if it is whole, else compressed now, from where one stopped."""
    folder = artifact_folder(job.cache, planned)
    with lease(folder):
        if earlier := _earlier(folder):
            return earlier
        spec = planned.calibration
        calibration = calibrate(job.source, job.config, spec, planned.draw, job.cache) if spec else None
        return construct(planned.method).compress(job.source, calibration, folder, progress)


def _earlier(folder: Path) -> Compressed | None:
    """A finished artifact, going by its manifest alone. One whose manifest was altered is removed."""
    from methods.artifact import DamagedArtifact, notes, read_manifest

    if not (folder / "manifest.json").is_file():
        return None
    try:
        manifest = read_manifest(folder)
    except DamagedArtifact:
        shutil.rmtree(folder)
        return None
    return Compressed(folder, manifest.digest, manifest.untouched, notes(folder))


def _loaded(
    made: Compressed, planned: PlannedVariant, job: Job, progress: Progress
) -> tuple[Compressed, LanguageModel]:
    """The artifact loaded back. One that was damaged on disk since it was made is made again, once."""
    from harness.languagemodel import LanguageModel
    from methods.artifact import DamagedArtifact, load

    try:
        model = load(made.folder, job.source.dtype, job.source.device)
    except DamagedArtifact:
        with lease(made.folder):
            shutil.rmtree(made.folder, ignore_errors=True)
        made = artifact(planned, job, progress)
        model = load(made.folder, job.source.dtype, job.source.device)
    return made, LanguageModel(model, job.source.tokenizer(), job.source.device)


def _restore_references(job: Job, progress: Progress) -> dict[str | None, NoReference]:
    """Read `none` again where its hidden states are wanted and no longer in the cache.

    Returns the references that could not be had, with the reason: only the cells that need one are lost with it.
    """
    if job.planned.variant == job.original.variant:
        return {}  # it makes its reference itself
    wanted = {cell.reference: cell for cells, _ in passes(job) for cell in cells if cell.reference}
    missing = {key: cell for key, cell in wanted.items() if not hidden_store(job.cache, key).is_complete()}
    if not missing:
        return {}

    original = replace(job, planned=job.original)
    try:
        _, lm = _loaded(artifact(job.original, original, progress), job.original, original, progress)
    except Exception as error:
        return dict.fromkeys(missing, _no_reference(error))
    lost: dict[str | None, NoReference] = {}
    for key, cell in missing.items():
        try:
            store = hidden_store(job.cache, str(key))
            keep_reading(lm, passages_of(job.config, cell), protocol_of(cell), store, progress)
        except Exception as error:
            lost[key] = _no_reference(error)
    return lost


def _read(read: Read, lm: LanguageModel, cells: Sequence[Cell], job: Job, progress: Progress) -> Reading:
    """One pass. What it is compared with is made again, once, where only using it shows that it is damaged."""
    from harness.hiddenstore import DamagedHidden

    try:
        return read(lm, cells, job, progress)
    except DamagedHidden as error:
        progress("what `none` left in the cache is damaged: reading it again", 0, 1)
        lost = _restore_references(job, progress)
        for cell in cells:
            if cell.reference in lost:
                raise lost[cell.reference] from error
        return read(lm, cells, job, progress)


def _no_reference(error: Exception) -> NoReference:
    return NoReference(f"no reference: `none` could not be read again ({reason(error)})")


def _measured(
    cell: Cell, made: Compressed, seconds: dict[str, float], notes: dict[str, str], *subject: object
) -> Outcome:
    """The cell's task on what it measures: a reading, the artifact's folder, or the model with what to ask it."""
    try:
        with _timed(seconds, "measure"):
            found: Measurement = all_tasks()[cell.task].load().measure(*subject)
    except Exception as error:
        return _unmeasured(cell, error, seconds, made)
    record = Record(
        cell, "ok", found.estimates, artifact=made.digest, seconds=dict(seconds), notes={**notes, **found.notes}
    )
    return Outcome(record, found.samples, found.conversations)


def _unmeasured(cell: Cell, error: Exception, seconds: dict[str, float], made: Compressed | None = None) -> Outcome:
    status: Status = "skipped" if isinstance(error, MissingLibrary | Unavailable) else "failed"
    digest = made.digest if made else None
    return Outcome(Record(cell, status, reason=reason(error), artifact=digest, seconds=dict(seconds)), ())


def reason(error: Exception) -> str:
    """One line for a record. A message written for people stands alone; any other carries its type."""
    import torch

    text = " ".join(str(error).split()) or "no message"
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return f"out of memory: {text[:300]}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, ValueError | OSError | MissingLibrary):
        return text[:600]
    return f"{type(error).__name__}: {text[:600]}"


def _notes(made: Compressed) -> dict[str, str]:
    """What every record of this variant tells beside its numbers."""
    if not made.untouched:
        return dict(made.notes)
    told = _alike(made.untouched)
    more = f"; and {len(told) - MOST_REASONS} more reasons" if len(told) > MOST_REASONS else ""
    listed = "; ".join(told[:MOST_REASONS]) + more
    return {**made.notes, "untouched": f"{len(made.untouched)} layers left as they were ({listed})"}


def _alike(untouched: Mapping[str, str]) -> list[str]:
    """``model.layers.0-17.mlp.up_proj: reason``: layers that differ by the number of their block told together."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for name, why in untouched.items():
        block = re.search(r"\d+", name)
        around = (name[: block.start()], name[block.end() :]) if block else (name, "")
        found.setdefault((*around, why), []).extend([int(block[0])] if block else [])
    return [f"{before}{_ranges(blocks)}{after}: {why}" for (before, after, why), blocks in found.items()]


def _ranges(numbers: list[int]) -> str:
    """``[0, 1, 2, 5]`` as ``0-2,5``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _hush() -> None:
    """One progress bar is enough: transformers draws none of its own from here on (downloads are over)."""
    from transformers.utils import logging

    logging.disable_progress_bar()


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    """Add the wall time of a phase, however it ends."""
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds[phase] = round(seconds.get(phase, 0.0) + time.perf_counter() - began, 3)
