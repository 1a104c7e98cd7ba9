"""Which cells go to which worker, and when; what becomes of the cells of a worker that was lost.

A worker is given one variant and some of its cells, and hands back their outcomes one by one. The first to have a
variant compresses it and measures a share of its cells; what it was not given waits for whoever is free, and finds the
artifact in the shared cache. Shares shrink as work runs out (guided self-scheduling: Polychronopoulos & Kuck 1987),

    share = ceil(cells that wait / (2 x workers)),

so that a long sweep loads an artifact once and its end is spread over all workers. An original is measured whole
before anything that is compared with it is begun. Nothing here knows what workers are: see `Pool`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from harness.passes import Job
from harness.plan import readings
from harness.variant import Outcome, answered_together
from methods.base import Progress
from results.cell import Cell
from results.record import Record

ATTEMPTS = 3
"""So many workers in a row may be lost over the same cell before it is given up."""


@dataclass(frozen=True)
class Phase:
    """What a worker is at."""

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Finished:
    """A worker has done all it was given."""


@dataclass(frozen=True)
class Lost:
    """A worker is gone with what it was doing."""

    reason: str
    memory: bool = False
    """Whether it ran out of memory: the next is asked to have more."""
    final: bool = False
    """Whether another attempt would end alike, as at a time limit."""


Event = Outcome | Phase | Finished | Lost


class Pool(Protocol):
    """Workers, known by the numbers under which they were given jobs."""

    @property
    def workers(self) -> int:
        """How many jobs it can run at once, now."""

    def submit(self, number: int, job: Job, memory: int) -> None:
        """Begin a job; ``memory`` counts the times that it ran out of memory before."""

    def wait(self) -> Iterator[tuple[int, Event]]:
        """What has happened since the last call, waiting until something has."""


@dataclass
class _Waiting:
    """Cells of one variant that no worker has."""

    job: Job
    units: list[tuple[Cell, ...]]
    """Cells that are measured together, in order."""
    failures: int = 0
    """Workers lost in a row, without an outcome between."""
    memory: int = 0
    is_made: bool = False
    """Whether a worker has begun with it: its artifact is in the cache, or will be before another can need it."""

    @property
    def cells(self) -> int:
        return sum(map(len, self.units))

    @cached_property
    def key(self) -> str:
        return self.job.planned.variant.key

    @cached_property
    def is_original(self) -> bool:
        return self.key == self.job.original.variant.key


def drive(jobs: Iterable[Job], pool: Pool, progress: Progress) -> Iterator[Outcome]:
    """Every cell's outcome as it is finished, in no particular order.

    ``jobs`` is asked for an original's followers only after all outcomes of the original were taken from here.
    """
    coming, waiting = iter(jobs), list[_Waiting]()
    flying: dict[int, _Waiting] = {}
    number, ended = 0, False
    while True:
        while not (ended or any(one.is_original for one in (*waiting, *flying.values()))):
            job = next(coming, None)
            ended = job is None
            if job is not None:
                waiting.append(_Waiting(job, units(job)))
        while waiting and len(flying) < pool.workers:
            taken = _take(waiting, flying, pool.workers)
            if taken is None:
                break
            pool.submit(number, replace(taken.job, cells=tuple(c for unit in taken.units for c in unit)), taken.memory)
            flying[number] = taken
            number += 1
        if not flying and not waiting:
            return
        for at, event in pool.wait():
            match event:
                case Phase(what, done, total):
                    progress(what, done, total)
                case Finished():
                    left = flying.pop(at)
                    if left.units:
                        waiting.insert(0, left)  # it broke off: the rest as after a loss
                case Lost():
                    yield from _after_loss(flying.pop(at), event, waiting)
                case _:
                    _tick(flying[at], event.record.cell)
                    yield event


def units(job: Job) -> list[tuple[Cell, ...]]:
    """A job's cells in the order they are measured, those together that one forward pass or common batches serve."""
    wanted = {cell.key for cell in job.cells}
    groups = [tuple(cell for cell in cells if cell.key in wanted) for cells in readings(job.planned)]
    groups.append(answered_together(job.cells))
    together = {cell.key: group for group in groups for cell in group}
    found: dict[str, tuple[Cell, ...]] = {}
    for cell in job.cells:
        group = together.get(cell.key, (cell,))
        found.setdefault(group[0].key, group)
    return list(found.values())


def _take(waiting: list[_Waiting], flying: dict[int, _Waiting], workers: int) -> _Waiting | None:
    """What the next free worker is given: a variant that nobody has begun, else a share of the one with most left."""
    begun = [one for one in waiting if one.is_made]
    fresh = [one for one in waiting if not one.is_made]
    making = {one.key for one in flying.values() if not one.is_made}
    ready = [one for one in begun if one.key not in making]
    source = fresh[0] if fresh else max(ready, key=lambda one: one.cells, default=None)
    if source is None:
        return None
    most = -(-sum(one.cells for one in waiting) // (2 * workers))
    count, cells = 0, 0
    while count < len(source.units) and (count == 0 or cells + len(source.units[count]) <= most):
        cells += len(source.units[count])
        count += 1
    if source.is_original:
        count = len(source.units)  # its second readings need its first
    taken = replace(source, units=source.units[:count])
    del source.units[:count]
    source.is_made = True
    if not source.units:
        waiting.remove(source)
    return taken


def _tick(flight: _Waiting, cell: Cell) -> None:
    """An outcome came: the cell is done, the artifact exists, and losses before this one are forgiven."""
    place = next(at for at, unit in enumerate(flight.units) if any(other.key == cell.key for other in unit))
    left = tuple(other for other in flight.units[place] if other.key != cell.key)
    flight.units[place : place + 1] = [left] if left else []
    flight.failures, flight.is_made = 0, True


def _after_loss(flight: _Waiting, lost: Lost, waiting: list[_Waiting]) -> Iterator[Outcome]:
    """The lost worker's cells go back, but for those that have cost too many workers: these have failed."""
    failures = flight.failures + 1
    if lost.final or failures >= ATTEMPTS:
        doomed, rest = (flight.units[:1], flight.units[1:]) if flight.is_made else (flight.units, [])
        times = "" if failures == 1 else f", {failures} times in a row"
        for cell in (cell for unit in doomed for cell in unit):
            yield Outcome(Record(cell, "failed", reason=f"{lost.reason}{times}"), ())
        flight, failures = replace(flight, units=rest), 0
    memory = flight.memory + lost.memory
    for one in waiting:
        if one.key == flight.key:
            one.memory = max(one.memory, memory)
    if flight.units:
        waiting.insert(0, replace(flight, failures=failures, memory=memory))
