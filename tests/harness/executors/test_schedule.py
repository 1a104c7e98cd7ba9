"""The scheduler with simulated workers: a fake clock, no models."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from dataclasses import dataclass, replace

import pytest

from harness.executors.schedule import ATTEMPTS, Finished, Lost, Phase, drive, units
from harness.passes import Job
from harness.plan import PlannedVariant
from harness.variant import Outcome
from results.cell import Cell, Variant
from results.record import Record

LANGUAGES = 4


def job(method: str, model: str = "m", languages: int = LANGUAGES) -> Job:
    """A variant weighed once and read twice in each language; both tasks are served by one reading."""
    variant = Variant(model, model, method)
    cells = [Cell(variant, "footprint", 1, "und", "")]
    for number in range(languages):
        shared = {"corpus": "bundled", "protocol": "rolling", "window": None}
        cells += [Cell(variant, task, 1, f"l{number}", f"t{number}", shared) for task in ("perplexity", "fidelity")]
    planned = PlannedVariant(variant, None, None, 0, tuple(cells))
    original = planned if method == "none" else replace(planned, variant=Variant(model, model, "none"))
    return Job(None, planned, tuple(cells), original, None, None)


@dataclass
class Simulated:
    """Workers on a fake clock: compressing and loading take ``compress`` and ``load`` seconds, a cell one second."""

    size: int
    compress: float = 8.0
    load: float = 0.5
    faults: float = 0.0
    seed: int = 0

    def __post_init__(self):
        self.clock, self.events, self.order = 0.0, [], 0
        self.made, self.running = {}, set()
        self.random = random.Random(self.seed)
        self.began, self.memory, self.lost, self.cells = [], {}, 0, Counter()

    @property
    def workers(self):
        return self.size

    def submit(self, number, job, memory):
        assert len(self.running) < self.size, "more jobs than workers"
        self.running.add(number)
        key = job.planned.variant.key
        self.began.append((self.clock, job.planned.variant, len(job.cells)))
        self.memory[number] = memory
        ready = max(self.clock + self.load, self.made.get(key, self.clock + self.compress))
        self.made.setdefault(key, self.clock + self.compress)
        for cell in job.cells:
            ready += 1.0
            if self.random.random() < self.faults:
                self.put(ready - 0.5, number, Lost("the worker was lost"))
                return
            self.put(ready, number, Outcome(Record(cell, "ok"), ()))
        self.put(ready, number, Finished())

    def put(self, time, number, event):
        self.order += 1
        heapq.heappush(self.events, (time, self.order, number, event))

    def wait(self):
        self.clock, _, number, event = heapq.heappop(self.events)
        if isinstance(event, Finished | Lost):
            self.running.discard(number)
            self.lost += isinstance(event, Lost)
        else:
            self.cells[event.record.cell.key] += 1
        yield number, event


def silent(*args):
    pass


def run(jobs, pool):
    return list(drive(jobs, pool, silent))


def test_cells_that_one_reading_serves_stay_together():
    assert [len(unit) for unit in units(job("rtn"))] == [1, 2, 2, 2, 2]
    assert sum(units(job("rtn")), ()) == job("rtn").cells


def test_answers_in_all_languages_stay_together_for_their_rounding_depends_on_their_batches():
    variant = Variant("m", "m", "rtn")
    asked = tuple(Cell(variant, "answers", 1, language, "q", {"questions": "bundled"}) for language in ("en", "ko"))
    one = job("rtn")
    found = units(replace(one, cells=(*one.cells, *asked)))
    assert found[-1] == asked
    assert found[:-1] == units(one)


def test_only_what_is_still_to_be_measured_is_in_a_unit():
    left = replace(job("rtn"), cells=job("rtn").cells[2:4])
    assert [len(unit) for unit in units(left)] == [1, 1]


@pytest.mark.parametrize("workers", [1, 2, 7, 50])
def test_every_cell_is_measured_once(workers):
    jobs = [job(name) for name in ("none", "a", "b", "c")]
    outcomes = run(jobs, Simulated(workers))
    assert Counter(outcome.record.cell.key for outcome in outcomes) == Counter(c.key for j in jobs for c in j.cells)


def test_nothing_begins_before_the_original_it_is_compared_with_has_ended():
    pool = Simulated(4)
    jobs = [job("none", "m"), job("a", "m"), job("none", "n"), job("b", "n")]
    for outcome in drive(jobs, pool, silent):
        if outcome.record.cell.variant.method != "none":
            originals = [one for one in jobs if one.planned.variant.method == "none"]
            model = outcome.record.cell.variant.model
            own = next(one for one in originals if one.planned.variant.model == model)
            assert all(pool.cells[cell.key] == 1 for cell in own.cells)


def test_followers_are_asked_for_after_the_originals_outcomes_were_taken():
    taken = []

    def jobs():
        yield job("none")
        assert len(taken) == len(job("none").cells)
        yield job("a")

    for outcome in drive(jobs(), Simulated(2), silent):
        taken.append(outcome)
    assert len(taken) == 2 * len(job("a").cells)


def test_an_end_is_spread_over_idle_workers():
    pool = Simulated(8)
    run([job("a", languages=16)], pool)
    alone = pool.compress + len(job("a", languages=16).cells)
    assert pool.clock < 0.6 * alone


def test_a_long_sweep_loads_an_artifact_once():
    pool = Simulated(2)
    run([job(f"m{number}") for number in range(40)], pool)
    assert len(pool.began) < 60


def test_lost_workers_cost_only_what_they_were_doing():
    jobs = [job(f"m{number}") for number in range(30)]
    pool = Simulated(10, faults=0.1, seed=1)
    outcomes = run(jobs, pool)
    assert pool.lost > 10
    assert Counter(o.record.cell.key for o in outcomes) == Counter(c.key for j in jobs for c in j.cells)
    assert max(pool.cells.values()) == 1


class Failing(Simulated):
    """Workers that are lost over one language."""

    asked = ()

    def submit(self, number, job, memory):
        if any(cell.language == "l1" for cell in job.cells):
            cut = [cell.language for cell in job.cells].index("l1")
            self.running.add(number)
            self.asked.append(memory)
            for place, cell in enumerate(job.cells[:cut]):
                self.put(self.clock + 1 + place, number, Outcome(Record(cell, "ok"), ()))
            self.put(self.clock + 1 + cut, number, Lost("the worker ran out", memory=True))
        else:
            super().submit(number, job, memory)


def test_a_cell_that_costs_workers_is_given_up_and_the_rest_measured():
    pool = Failing(1)
    pool.asked = []
    outcomes = run([job("a")], pool)
    failed = [outcome.record for outcome in outcomes if outcome.record.status == "failed"]
    assert {record.cell.language for record in failed} == {"l1"}
    assert failed[0].reason == f"the worker ran out, {ATTEMPTS} times in a row"
    assert len(outcomes) == len(job("a").cells)


def test_more_memory_is_asked_for_each_time_it_ran_out():
    pool = Failing(1)
    pool.asked = []
    run([job("a")], pool)
    assert pool.asked == list(range(ATTEMPTS))


class Stillborn(Simulated):
    def submit(self, number, job, memory):
        self.running.add(number)
        self.put(self.clock + 1, number, Lost("the worker took longer than 5 minutes", final=True))


def test_a_variant_that_cannot_be_made_fails_whole_with_the_reason():
    outcomes = run([job("a")], Stillborn(2))
    assert {outcome.record.reason for outcome in outcomes} == {"the worker took longer than 5 minutes"}
    assert len(outcomes) == len(job("a").cells)


class Talking(Simulated):
    def wait(self):
        yield next(iter(self.running)), Phase("node: moments", 1, 2)
        yield from super().wait()


def test_what_workers_are_at_is_told():
    said = []
    list(drive([job("a")], Talking(1), lambda *args: said.append(args)))
    assert ("node: moments", 1, 2) in said


def test_ten_thousand_cells_on_two_hundred_workers_end_close_to_the_bound():
    languages = 12
    jobs = [job(f"m{number}", languages=languages) for number in range(400)]
    cells = sum(len(one.cells) for one in jobs)
    assert cells == 10_000
    pool = Simulated(200, faults=0.002, seed=3)
    outcomes = run(jobs, pool)
    assert len(outcomes) == cells
    work = sum(pool.compress + len(one.cells) for one in jobs)
    bound = max(work / pool.size, pool.compress + 1)
    assert pool.clock < 1.1 * bound
