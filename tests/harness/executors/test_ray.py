"""The executor ray on a real cluster of two nodes on this machine: `tox -e cluster` runs these."""

from __future__ import annotations

import threading

import pytest

from harness.exits import ExitCode
from harness.problems import UserError

pytestmark = pytest.mark.slow

WORKERS_TILE = 4 * 1024**2
METHODS = [
    {"name": "none"},
    {"name": "rtn", "granularity": "row", "bits": [3, 4]},
    {"name": "gptq", "granularity": "row", "bits": [3, 4]},
]


@pytest.fixture
def on_ray(tiny_sweep, cluster, monkeypatch):
    from harness import scoring

    monkeypatch.setattr(scoring, "TILE_BYTES", WORKERS_TILE)  # a worker has its own copy of the module

    def run(run="ray", **changes):
        spec = {"address": cluster.address, "cpus": 1, **changes.pop("ray", {})}
        return tiny_sweep(run=run, executor="ray", ray=spec, **{"method": METHODS, **changes})

    return run


def numbers(told):
    """What must be equal: all but who computed it."""
    return {
        key: (status, reason, artifact, estimates, samples)
        for key, (status, reason, artifact, _, estimates, samples) in told.items()
    }


def test_it_gives_the_local_executors_numbers(tiny_sweep, on_ray):
    assert on_ray(cache="shared") == ExitCode.OK
    assert tiny_sweep(run="local", cache="own", method=METHODS) == ExitCode.OK
    assert numbers(tiny_sweep.told("ray")) == numbers(tiny_sweep.told("local"))
    assert all("node" in notes for _, _, _, notes, _, _ in tiny_sweep.told("ray").values())


def test_a_lost_node_costs_only_what_it_was_doing(tiny_sweep, on_ray, cluster, monkeypatch):
    from harness.executors import ray as executor

    node = cluster.add_node(num_cpus=1)
    events, removed = [], threading.Event()
    wait = executor.RayPool.wait

    def watched(pool):
        for number, event in wait(pool):
            events.append(event)
            yield number, event
            if len(events) > 12 and not removed.is_set():
                removed.set()
                cluster.remove_node(node, allow_graceful=False)

    monkeypatch.setattr(executor.RayPool, "wait", watched)
    assert on_ray(run="killed", cache="killed-cache") == ExitCode.OK
    assert removed.is_set()
    records = (tiny_sweep.path / "killed" / "records.jsonl").read_text().splitlines()
    assert len(records) == len(tiny_sweep.told("killed"))  # nothing was recorded twice
    assert tiny_sweep(run="local", cache="own", method=METHODS) == ExitCode.OK
    assert numbers(tiny_sweep.told("killed")) == numbers(tiny_sweep.told("local"))


def test_a_task_that_takes_too_long_has_failed_with_the_reason(tiny_sweep, on_ray):
    assert on_ray(run="slow", cache="slow-cache", ray={"minutes": 0.001}, languages=["en"], method=METHODS[:1]) == 3
    reasons = {reason for _, reason, *_ in tiny_sweep.told("slow").values() if reason}
    assert "the worker took longer than 0.001 minutes" in reasons


class TestMistakes:
    def test_more_cpus_than_any_node_has(self, on_ray):
        with pytest.raises(UserError, match=r"No node has the 64 cpus .*1 cpus, 0 gpus.*ask for less in \[ray\]"):
            on_ray(ray={"cpus": 64})

    def test_a_gpu_that_no_node_has(self, on_ray):
        with pytest.raises(UserError, match="No node has the 1 cpus and 2 gpus"):
            on_ray(ray={"gpus": 2})
