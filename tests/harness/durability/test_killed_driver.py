"""kill -9 of the driver at seeded moments: whatever it hits, what is resumed ends as if nothing had happened.

Four kills are in the ordinary suite: two of test_sweep, one here and one of the judging phase. Drivers, judging phases
and Ray's workers are killed twenty times each by

    LANGGAP_MOMENTS=60 pytest -m 'slow or not slow' tests/harness/durability
"""

from __future__ import annotations

import random
import time
from contextlib import suppress
from subprocess import TimeoutExpired

from drivers import CELLS, IMPORTS, LONGEST, drive, lines_of, share_of_moments, whole

from harness.exits import ExitCode

MOMENTS = share_of_moments()
METHOD = "gptq:granularity=row,calibration.sequences=2,calibration.length=32"


def finish(child):
    began = time.monotonic()
    assert child.wait(LONGEST) == ExitCode.OK
    return time.monotonic() - began


def test_at_any_moment_nothing_is_lost_and_nothing_computed_twice(words, tmp_path):
    def start(run):
        return drive(*words(tmp_path / run, tmp_path / f"{run}-cache", METHOD))

    seconds = finish(start("undisturbed"))
    told = whole(tmp_path / "undisturbed")
    assert len(told) == CELLS
    moments = random.Random(MOMENTS)
    killed = 0
    for number in range(MOMENTS):
        run = f"run-{number}"
        child = start(run)
        with suppress(TimeoutExpired):
            child.wait(moments.uniform(IMPORTS, 0.9) * seconds)
        killed += child.poll() is None
        child.kill()
        child.wait()
        finish(start(run))
        assert whole(tmp_path / run) == told
        assert set(lines_of(tmp_path / run).values()) == {1}, "a cell whose record was written was measured again"
    assert killed >= MOMENTS / 2
