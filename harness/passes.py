"""The forward passes that a variant's cells need: one for each text and protocol, for every cell that reads it.

`none` is read twice where fidelity is measured: once for all, keeping its hidden states, and half of it against those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.facts import test_passages
from harness.plan import PlannedVariant, count_again, is_second, readings
from harness.specs import SweepConfig, TaskSpec
from harness.tasks import all_tasks
from methods._lease import lease
from methods.base import Progress, Source
from results.cell import Cell

if TYPE_CHECKING:
    from harness.languagemodel import LanguageModel
    from harness.passages import Passage
    from harness.readings import HiddenStore, Protocol, Reading


@dataclass(frozen=True)
class Job:
    config: SweepConfig
    planned: PlannedVariant
    """With the cells that can be measured."""
    cells: tuple[Cell, ...]
    """Those of them that are still to be measured."""
    original: PlannedVariant
    """The same model's `none`, which fidelity is measured against; ``planned`` itself for `none`."""
    source: Source
    cache: Path
    notes: Mapping[str, str] = field(default_factory=dict)
    """Where the original comes from and where it lies, for every record."""


Read = Callable[["LanguageModel", Sequence[Cell], Job, Progress], "Reading"]


def passes(job: Job) -> list[tuple[list[Cell], Read]]:
    """The variant's cells by the forward pass that serves them, and the pass, where one is still to be measured."""
    return [
        (cells, read_again if is_second(cells[0]) else read_text)
        for cells in readings(job.planned)
        if any(cell in job.cells for cell in cells)
    ]


def read_text(lm: LanguageModel, cells: Sequence[Cell], job: Job, progress: Progress) -> Reading:
    """One forward pass per window for all cells that read this text under this protocol.

    ``cells`` are those measured before too: a text read with a reference gives the same nats only but for rounding.
    """
    from harness.readings import read

    cell = cells[0]
    references = {cell.reference for cell in cells if cell.reference}
    reference = hidden_store(job.cache, references.pop()) if references else None
    passages, protocol = passages_of(job.config, cell), protocol_of(cell)
    if not _is_referred_to(job, cell):
        return read(lm, passages, protocol, reference, None, progress)
    keep = hidden_store(job.cache, reading_cell(job.original, cell).key)
    with lease(keep.folder):
        return read(lm, passages, protocol, reference, keep, progress)


def read_again(lm: LanguageModel, cells: Sequence[Cell], job: Job, progress: Progress) -> Reading:
    """The first half of the text against `none`'s own first reading, each passage alone: what rounding itself gives."""
    from harness.readings import read

    cell = cells[0]
    hidden = hidden_store(job.cache, reading_cell(job.original, cell).key)
    passages, protocol = passages_of(job.config, cell), protocol_of(cell)
    keep_reading(lm, passages, protocol, hidden, progress)
    return read(lm, passages, protocol, hidden, None, progress, batch_tokens=1, count=count_again)


def keep_reading(
    lm: LanguageModel, passages: Sequence[Passage], protocol: Protocol, store: HiddenStore, progress: Progress
) -> None:
    """Read `none` and keep its hidden states, unless they are there and whole."""
    from harness.readings import read

    with lease(store.folder):
        if not store.is_complete():
            read(lm, passages, protocol, None, store, progress)


def _is_referred_to(job: Job, cell: Cell) -> bool:
    """Whether other variants will be compared with this reading of `none`."""
    return job.planned.variant == job.original.variant and any(spec.name == "fidelity" for spec in job.config.tasks)


def reading_cell(original: PlannedVariant, cell: Cell) -> Cell:
    """The perplexity cell of `none` that reads the same text: its key names the cached hidden states."""
    task = all_tasks()["perplexity"]
    shared = {name: value for name, value in cell.params.items() if name in task.fields}
    return replace(
        cell, variant=original.variant, task=task.name, task_version=task.version, params=shared, reference=None
    )


def hidden_store(cache: Path, key: str) -> HiddenStore:
    from harness.readings import HiddenStore

    return HiddenStore(cache / "hidden" / key)


def passages_of(config: SweepConfig, cell: Cell) -> tuple[Passage, ...]:
    return test_passages(config, TaskSpec(cell.task, cell.params), cell.language)


def protocol_of(cell: Cell) -> Protocol:
    from harness.readings import Protocol

    window = cell.params["window"]
    return Protocol(str(cell.params["protocol"]), None if window is None else int(window))
