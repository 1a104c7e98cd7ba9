"""kill -9 of the driver at seeded moments: whatever it hits, what is resumed ends as if nothing had happened.

Four moments in the ordinary suite; ``LANGGAP_MOMENTS=60 pytest tests/harness/durability`` tries sixty.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time

import pytest

from harness.exits import ExitCode

MOMENTS = int(os.environ.get("LANGGAP_MOMENTS", "4"))
METHODS = [{"name": "none"}, {"name": "gptq", "granularity": "row"}]
CELLS = 5 * len(METHODS)
LONGEST = 120.0


def _sweep(tiny_sweep, run, cache):
    os._exit(tiny_sweep(run=run, cache=cache, method=METHODS))


def _start(tiny_sweep, run, cache):
    """A driver of its own: forked, so that it need not import everything again."""
    child = multiprocessing.get_context("fork").Process(target=_sweep, args=(tiny_sweep, run, cache))
    child.start()
    return child


def _run(tiny_sweep, run, cache):
    began = time.monotonic()
    child = _start(tiny_sweep, run, cache)
    child.join(LONGEST)
    assert child.exitcode == ExitCode.OK
    return time.monotonic() - began


@pytest.fixture
def undisturbed(tiny_sweep):
    """What the records must be, and how long making them takes."""
    seconds = _run(tiny_sweep, "undisturbed", "undisturbed-cache")
    told = tiny_sweep.told("undisturbed")
    assert len(told) == CELLS
    return told, seconds


def test_at_any_moment_nothing_is_lost_and_nothing_computed_twice(tiny_sweep, undisturbed):
    told, seconds = undisturbed
    moments = random.Random(MOMENTS)
    killed = 0
    for number in range(MOMENTS):
        run, cache = f"run-{number}", f"cache-{number}"
        child = _start(tiny_sweep, run, cache)
        child.join(moments.uniform(0.02, 0.9) * seconds)
        killed += child.is_alive()
        os.kill(child.pid, signal.SIGKILL)
        child.join(LONGEST)
        _run(tiny_sweep, run, cache)
        assert tiny_sweep.told(run) == told
        lines = (tiny_sweep.path / run / "records.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(lines) == CELLS, "a cell whose record was written was measured again"
    assert killed >= MOMENTS / 2
