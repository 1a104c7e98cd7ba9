"""kill -9 of Ray's workers at seeded moments: the records of the local executor, none of them twice."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from drivers import CELLS, lines_of, share_of_moments, whole

from harness.exits import ExitCode

pytestmark = pytest.mark.slow

MOMENTS = share_of_moments()
TILE = 4 * 1024**2
"""Of the vocabulary, in workers, which have their own copies of our modules."""


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def workers() -> list[int]:
    """Process numbers of our own cluster's workers that are at a task."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            if (folder / "cmdline").read_bytes().startswith(b"ray::_work"):
                process = ancestor = int(folder.name)
                while ancestor not in (0, 1, os.getpid()):
                    ancestor = parent_of(ancestor)
                found += [process] * (ancestor == os.getpid())
    return found


def test_at_any_moment_nothing_is_lost_and_nothing_recorded_twice(tiny_sweep, cluster, monkeypatch):
    from harness import scoring

    monkeypatch.setattr(scoring, "TILE_BYTES", TILE)

    def sweep(run):
        spec = {"address": cluster.address, "cpus": 1}
        return tiny_sweep(run, f"{run}-cache", executor="ray", ray=spec)

    assert tiny_sweep("local", "local-cache") == ExitCode.OK
    assert sweep("warm") == ExitCode.OK  # from here on workers have imported what they need
    began = time.monotonic()
    assert sweep("undisturbed") == ExitCode.OK
    seconds = time.monotonic() - began
    told = whole(tiny_sweep.path / "local")
    assert whole(tiny_sweep.path / "undisturbed") == told
    moments, killed = random.Random(MOMENTS), []

    def kill_one():
        for process in workers()[:1]:
            os.kill(process, signal.SIGKILL)
            killed.append(process)

    for number in range(MOMENTS):
        timer = threading.Timer(moments.uniform(0.2, 0.9) * seconds, kill_one)
        timer.start()
        assert sweep(f"run-{number}") == ExitCode.OK
        timer.cancel()
        timer.join()
        assert whole(tiny_sweep.path / f"run-{number}") == told
        assert set(lines_of(tiny_sweep.path / f"run-{number}").values()) == {1}
        assert len(told) == CELLS
    print(f"{len(killed)} workers were killed in {MOMENTS} sweeps")
    assert len(killed) >= MOMENTS / 2
