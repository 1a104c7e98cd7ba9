"""Measures variants on a Ray cluster: one that runs already, by its address, or one of this machine's own.

Each share of a variant (`harness.executors.schedule`) is a task, a stream of outcomes. Ray carries plain data only,
jobs there and outcomes back; artifacts, moments and hidden states go through the cache folder, which all nodes share,
and only the driver writes records. Retries are ours, not Ray's: what a lost worker had measured is not measured again.
"""

from __future__ import annotations

import platform
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.executors.cluster import check_nodes, connected
from harness.executors.schedule import Event, Finished, Lost, Phase, drive
from harness.passes import Job
from harness.specs import RaySpec
from harness.variant import Outcome, run_variant
from methods._shards import shard_files
from methods.base import Progress, Source

PHASE_SECONDS = 1.0
"""A worker tells what it is at this often at most."""
HEADROOM = 4
"""Memory asked for after a worker ran out of it, in sizes of the checkpoint, doubled each time."""


def outcomes(
    jobs: Iterable[Job], sources: Iterable[Source], cache: Path, spec: RaySpec, threads: int, progress: Progress
) -> Iterator[Outcome]:
    """Every cell's outcome as it is finished, from all nodes.

    ``threads``: of torch in every task, unless ``spec`` says how many cpus a task has. Raises UserError where Ray is
    not installed, the address does not answer, or a node cannot do this sweep.
    """
    sources = list(sources)
    cpus = spec.cpus or threads
    on_gpu = any(source.device.startswith("cuda") for source in sources)
    gpus = (1.0 if on_gpu else 0.0) if spec.gpus is None else spec.gpus
    with connected(spec.address, cpus):
        check_nodes(sources, cache, cpus, gpus)
        pool = RayPool(spec, cpus, gpus)
        try:
            yield from drive(jobs, pool, progress)
        finally:
            pool.cancel()


class RayPool:
    """Ray's tasks as the scheduler sees them."""

    def __init__(self, spec: RaySpec, cpus: int, gpus: float) -> None:
        import ray

        self._ray = ray
        self._spec, self._cpus, self._gpus = spec, cpus, gpus
        self._task = ray.remote(_work)
        self._flying: dict[Any, int] = {}
        self._began: dict[int, float] = {}

    @property
    def workers(self) -> int:
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        rooms = [int(node.get("CPU", 0) // self._cpus) for node in nodes]
        if self._gpus:
            rooms = [min(room, int(node.get("GPU", 0) // self._gpus)) for room, node in zip(rooms, nodes, strict=True)]
        return max(1, sum(rooms))  # with nobody there at the moment, one job waits for somebody to come

    def submit(self, number: int, job: Job, memory: int) -> None:
        options: dict[str, Any] = {"num_cpus": self._cpus, "num_gpus": self._gpus}
        if asked := _memory(job, self._spec, memory):
            options["memory"] = asked
        if job.source.device.startswith("cuda"):  # Ray shows a task its own GPUs only
            job = replace(job, source=replace(job.source, device="cuda"))
        stream = self._task.options(num_returns="streaming", max_retries=0, **options).remote(job)
        self._flying[stream] = number

    def wait(self) -> Iterator[tuple[int, Event]]:
        ready, _ = self._ray.wait(list(self._flying), num_returns=1, timeout=1.0)
        for stream in ready:
            number = self._flying[stream]
            event = self._next(stream)
            self._began.setdefault(number, time.monotonic())
            if isinstance(event, Finished | Lost):
                del self._flying[stream]
            yield number, event
        yield from self._overdue()

    def cancel(self) -> None:
        """Stop all that still runs: nothing does, unless the sweep was interrupted or failed."""
        for stream in self._flying:
            with suppress(Exception):
                self._ray.cancel(stream, force=True)
        self._flying.clear()

    def _next(self, stream: Any) -> Event:
        from ray import exceptions

        try:
            return self._ray.get(next(stream))
        except StopIteration:
            return Finished()
        except exceptions.OutOfMemoryError:
            return Lost("the worker was stopped for using up its node's memory", memory=True)
        except exceptions.RayTaskError as error:
            return Lost(f"the worker failed: {error.cause!r}"[:600], final=True)
        except exceptions.RayError as error:
            return Lost(f"the worker was lost ({type(error).__name__})")

    def _overdue(self) -> Iterator[tuple[int, Event]]:
        if self._spec.minutes is None:
            return
        for stream, number in list(self._flying.items()):
            if time.monotonic() - self._began.get(number, time.monotonic()) > 60 * self._spec.minutes:
                with suppress(Exception):
                    self._ray.cancel(stream, force=True)
                del self._flying[stream]
                yield number, Lost(f"the worker took longer than {self._spec.minutes:g} minutes", final=True)


def _memory(job: Job, spec: RaySpec, exhausted: int) -> int | None:
    """Bytes to ask for: what the sweep's file says, or nothing at first; doubled each time that it was not enough."""
    if spec.memory_gb is not None:
        return int(spec.memory_gb * 1e9) << exhausted
    if not exhausted:
        return None
    return HEADROOM * sum(path.stat().st_size for path in shard_files(job.source.folder)) << (exhausted - 1)


def _work(job: Job) -> Iterator[Event]:
    """In a worker: the outcomes of a job, and now and then what it is at. The job runs beside, in a thread."""
    told: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()
    spoke = 0.0

    def progress(what: str, done: int, total: int) -> None:
        nonlocal spoke
        if time.monotonic() - spoke > PHASE_SECONDS:
            spoke = time.monotonic()
            told.put(Phase(f"{platform.node()}: {what}", done, total))

    def run() -> None:
        try:
            for record, samples, *rest in run_variant(job, progress):
                noted = replace(record, notes={**record.notes, "node": platform.node()})
                told.put(Outcome(noted, samples, *rest))
        except BaseException as error:
            told.put(error)
        else:
            told.put(Finished())

    threading.Thread(target=run, daemon=True).start()
    yield Phase(f"{platform.node()}: starting", 0, 1)
    while not isinstance(event := told.get(), Finished):
        if isinstance(event, BaseException):
            raise event
        yield event
