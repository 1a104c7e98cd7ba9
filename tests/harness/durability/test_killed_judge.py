"""kill -9 of the judging phase at seeded moments: the records of an undisturbed phase, and no reply paid for twice.

A moment is a number of replies that were sent: however fast the machine, it falls into the phase.
"""

from __future__ import annotations

import random
import time

import pytest
from drivers import LONGEST, drive, lines_of, share_of_moments, whole
from faults import FaultServer

from harness.exits import ExitCode

MOMENTS = share_of_moments()
CONCURRENCY = 4
DUELS = 2 * 12 * 2 * 2
"""Two pairings (rtn and awq against `none`), questions, turns, orders."""


@pytest.fixture
def judged(answered_run, tmp_path, monkeypatch):
    """``judged(name)``: the same answers in a run folder of this name, and what judges them."""
    monkeypatch.setenv("TEST_KEY", "x")

    def make(name):
        answered_run.folder = tmp_path / name
        return answered_run(("none", "rtn", "awq"), ("ko",), 12)

    return make


def test_at_any_moment_nothing_is_lost_and_nothing_paid_twice(judged):
    def start(folder, server):
        judge = f"api:judge-1,base_url={server.url},key_variable=TEST_KEY"
        cache = folder.parent / "cache"
        return drive("judge", folder, "--judge", judge, "--no-aa", "--concurrency", CONCURRENCY, "--cache", cache)

    undisturbed = judged("undisturbed")
    with FaultServer(delay=0.02) as server:  # one for all: its address is part of what identifies a judge
        assert start(undisturbed, server).wait(LONGEST) == ExitCode.OK
        assert server.paid.total() == DUELS
        told = whole(undisturbed)
        moments, killed = random.Random(MOMENTS), 0
        for number in range(MOMENTS):
            folder, before = judged(f"run-{number}"), server.paid.total()
            child, replies = start(folder, server), moments.randint(1, DUELS)
            while child.poll() is None and server.paid.total() - before < replies:
                time.sleep(0.002)
            killed += child.poll() is None
            child.kill()
            child.wait()
            time.sleep(0.1)  # replies on their way arrive nowhere
            kept = folder / "judgements" / "judge-1.jsonl"
            lost = server.paid.total() - before - (kept.read_bytes().count(b"\n") if kept.exists() else 0)
            assert lost <= 2 * CONCURRENCY, "more was lost than was on its way or being put on disk"
            assert start(folder, server).wait(LONGEST) == ExitCode.OK
            assert server.paid.total() - before == DUELS + lost, "a reply that was kept was paid for again"
            assert whole(folder) == told
            assert set(lines_of(folder).values()) == {1}
    print(f"{killed} of {MOMENTS} phases were alive when they were killed")
    assert killed >= 0.9 * MOMENTS
