"""kill -9 of the driver at seeded moments: whatever it hits, what is resumed ends as if nothing had happened.

One moment here, beside those of test_sweep; ``LANGGAP_MOMENTS=60 pytest tests/harness/durability`` tries sixty.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from harness.exits import ExitCode

ROOT = Path(__file__).parents[3]
MOMENTS = int(os.environ.get("LANGGAP_MOMENTS", "1"))
CELLS = 10
LONGEST = 300.0


@pytest.fixture
def start(tiny_folder, tmp_path):
    """``start(run)`` -> a driver of its own, as from a shell."""

    def sweep(run):
        command = [sys.executable, "-m", "harness", "sweep", "--model", str(tiny_folder()), "--languages", "en,ko"]
        command += [
            "--method",
            "none",
            "--method",
            "gptq:granularity=row,calibration.sequences=2,calibration.length=32",
        ]
        for task in ("perplexity", "fidelity", "footprint"):
            command += ["--task", task]
        command += ["--limit", "2", "--out", str(tmp_path / run), "--cache", str(tmp_path / f"{run}-cache")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    return sweep


def finish(child):
    began = time.monotonic()
    assert child.wait(LONGEST) == ExitCode.OK
    return time.monotonic() - began


def test_at_any_moment_nothing_is_lost_and_nothing_computed_twice(tiny_sweep, start, tmp_path):
    seconds = finish(start("undisturbed"))
    told = tiny_sweep.told("undisturbed")
    assert len(told) == CELLS
    moments = random.Random(MOMENTS)
    killed = 0
    for number in range(MOMENTS):
        run = f"run-{number}"
        child = start(run)
        with suppress(subprocess.TimeoutExpired):
            child.wait(moments.uniform(0.3, 0.8) * seconds)  # before that it imports
        killed += child.poll() is None
        child.kill()
        child.wait()
        finish(start(run))
        assert tiny_sweep.told(run) == told
        lines = (tmp_path / run / "records.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(lines) == CELLS, "a cell whose record was written was measured again"
    assert killed >= MOMENTS / 2
