"""One variant's life: compress, load back from disk, weigh, read each text once, measure. Yields one outcome per cell.

A job is plain data, so that it can be run here or on another machine. Nothing that goes wrong in it costs more than
the cells it concerns: a failed compression fails the variant's cells, a failed reading those of one language.
"""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.config import construct
from harness.facts import calibrate, test_passages
from harness.plan import PlannedVariant
from harness.specs import SweepConfig, TaskSpec
from harness.tasks import all_tasks
from methods.base import Compressed, MissingLibrary, Progress, Source
from results.cell import Cell
from results.estimate import Measurement, Sample
from results.record import Record, Status

if TYPE_CHECKING:
    from harness.languagemodel import LanguageModel
    from harness.readings import HiddenStore, Reading


@dataclass(frozen=True)
class Job:
    config: SweepConfig
    planned: PlannedVariant
    cells: tuple[Cell, ...]
    """Those of the variant that are still to be measured."""
    original: PlannedVariant
    """The same model's `none`, which fidelity is measured against; ``planned`` itself for `none`."""
    source: Source
    cache: Path


class Outcome(NamedTuple):
    record: Record
    samples: tuple[Sample, ...]


class NotFinished(RuntimeError):
    """A cell that this variant's failure took along; the message is the reason in its record."""


def run_variant(job: Job, progress: Progress) -> Iterator[Outcome]:
    """Measure every cell of the job. Raises only what no variant can survive: interruption and a failing store."""
    _hush()
    seconds: dict[str, float] = {}
    try:
        with _timed(seconds, "reference"):
            _restore_references(job, progress)
        with _timed(seconds, "compress"):
            made = artifact(job.planned, job, progress)
        with _timed(seconds, "load"):
            made, lm = _loaded(made, job.planned, job, progress)
    except Exception as error:
        for cell in job.cells:
            yield _unmeasured(cell, error, seconds)
        return
    notes = _notes(made)
    for cell in (cell for cell in job.cells if not all_tasks()[cell.task].reads_text):
        yield _measured(cell, made, seconds, notes, lambda: all_tasks()[cell.task].load().measure(made.folder))  # noqa: B023
        seconds = {}
    for cells in _by_reading([cell for cell in job.cells if all_tasks()[cell.task].reads_text]):
        try:
            with _timed(seconds, "read"):
                reading = _read(lm, cells, job, progress)
        except Exception as error:
            for cell in cells:
                yield _unmeasured(cell, error, seconds, made)
            seconds = {}
            continue
        for cell in cells:
            yield _measured(cell, made, seconds, notes, lambda: all_tasks()[cell.task].load().measure(reading))  # noqa: B023
            seconds = {}


def artifact_folder(cache: Path, planned: PlannedVariant) -> Path:
    """Where a variant's artifact lies: by everything that defines it, so that another base or parameter misses."""
    return cache / "artifacts" / planned.variant.key


def artifact(planned: PlannedVariant, job: Job, progress: Progress) -> Compressed:
    """The variant's artifact on disk: an earlier one if it is whole, else compressed now, going on where one stopped."""
    from methods.artifact import read_manifest

    folder = artifact_folder(job.cache, planned)
    with _alone(folder):
        if (folder / "manifest.json").is_file():
            manifest = read_manifest(folder)
            return Compressed(folder, manifest.digest, manifest.untouched)
        spec = planned.calibration
        calibration = calibrate(job.source, job.config, spec, planned.draw, job.cache) if spec else None
        return construct(planned.method).compress(job.source, calibration, folder, progress)


def _loaded(
    made: Compressed, planned: PlannedVariant, job: Job, progress: Progress
) -> tuple[Compressed, LanguageModel]:
    """The artifact loaded back. One that was damaged on disk since it was made is made again, once."""
    from harness.languagemodel import LanguageModel
    from methods.artifact import DamagedArtifact, load

    try:
        model = load(made.folder, job.source.dtype, job.source.device)
    except DamagedArtifact:
        shutil.rmtree(made.folder)
        made = artifact(planned, job, progress)
        model = load(made.folder, job.source.dtype, job.source.device)
    return made, LanguageModel(model, job.source.tokenizer(), job.source.device)


def _read(lm: LanguageModel, cells: Sequence[Cell], job: Job, progress: Progress) -> Reading:
    """One forward pass per window for all cells that read this text under this protocol."""
    from harness.readings import read

    cell = cells[0]
    references = {cell.reference for cell in cells if cell.reference}
    reference = _hidden(job.cache, references.pop()) if references else None
    keep = _hidden(job.cache, _reading_cell(job.original, cell).key) if _is_referred_to(job, cell) else None
    return read(lm, _passages(job.config, cell), _protocol(cell), reference, keep, progress)


def _is_referred_to(job: Job, cell: Cell) -> bool:
    """Whether other variants will be compared with this reading of `none`."""
    return job.planned.variant == job.original.variant and any(spec.name == "fidelity" for spec in job.config.tasks)


def _restore_references(job: Job, progress: Progress) -> None:
    """Read `none` again where its hidden states are wanted and no longer in the cache."""
    wanted = {cell.reference: cell for cell in job.cells if cell.reference}
    missing = {key: cell for key, cell in wanted.items() if not _hidden(job.cache, key).is_complete()}
    if not missing:
        return
    from harness.readings import read

    original = replace(job, planned=job.original)
    _, lm = _loaded(artifact(job.original, original, progress), job.original, original, progress)
    for key, cell in missing.items():
        read(lm, _passages(job.config, cell), _protocol(cell), None, _hidden(job.cache, key), progress)


def _reading_cell(original: PlannedVariant, cell: Cell) -> Cell:
    """The perplexity cell of `none` that reads the same text: its key names the cached hidden states."""
    task = all_tasks()["perplexity"]
    shared = {name: value for name, value in cell.params.items() if name in task.fields}
    return replace(
        cell, variant=original.variant, task=task.name, task_version=task.version, params=shared, reference=None
    )


def _hidden(cache: Path, key: str) -> HiddenStore:
    from harness.readings import HiddenStore

    return HiddenStore(cache / "hidden" / key)


def _passages(config: SweepConfig, cell: Cell) -> tuple:
    return test_passages(config, TaskSpec(cell.task, cell.params), cell.language)


def _protocol(cell: Cell):  # noqa: ANN202 - a Protocol of harness.readings, imported late
    from harness.readings import Protocol

    return Protocol(name=str(cell.params["protocol"]), window=cell.params["window"])


def _by_reading(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells that one forward pass serves, together, in the order of the plan."""
    together: dict[tuple, list[Cell]] = {}
    for cell in cells:
        key = (cell.language, cell.text, cell.params["corpus"], cell.params["protocol"], cell.params["window"])
        together.setdefault(key, []).append(cell)
    return list(together.values())


def _measured(cell: Cell, made: Compressed, seconds: dict[str, float], notes: dict[str, str], measure) -> Outcome:  # noqa: ANN001
    try:
        with _timed(seconds, "measure"):
            found: Measurement = measure()
    except Exception as error:
        return _unmeasured(cell, error, seconds, made)
    record = Record(
        cell, "ok", found.estimates, artifact=made.digest, seconds=dict(seconds), notes={**notes, **found.notes}
    )
    return Outcome(record, found.samples)


def _unmeasured(cell: Cell, error: Exception, seconds: dict[str, float], made: Compressed | None = None) -> Outcome:
    status: Status = "skipped" if isinstance(error, MissingLibrary) else "failed"
    digest = made.digest if made else None
    return Outcome(Record(cell, status, reason=reason(error), artifact=digest, seconds=dict(seconds)), ())


def reason(error: Exception) -> str:
    """One line for a record. A message written for people stands alone; any other carries its type."""
    import torch

    text = " ".join(str(error).split()) or "no message"
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return f"out of memory: {text[:300]}"
    return text[:600] if isinstance(error, ValueError | MissingLibrary) else f"{type(error).__name__}: {text[:600]}"


def _notes(made: Compressed) -> dict[str, str]:
    """What every record of this variant tells beside its numbers."""
    if not made.untouched:
        return {}
    first = "; ".join(f"{name}: {why}" for name, why in list(made.untouched.items())[:3])
    more = f"; and {len(made.untouched) - 3} more" if len(made.untouched) > 3 else ""
    return {"untouched": f"{len(made.untouched)} layers left as they were ({first}{more})"}


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


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is making this artifact. The kernel frees the lock of one that died."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
