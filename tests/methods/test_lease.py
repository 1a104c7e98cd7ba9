"""Leases: one maker at a time, the dead make way, clocks do not matter."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from methods import _lease
from methods._lease import lease


def test_nothing_is_left_behind(tmp_path):
    with lease(tmp_path / "entry"):
        assert (tmp_path / "entry.lease").is_file()
    assert list(tmp_path.iterdir()) == []


def test_it_is_given_back_when_the_making_fails(tmp_path):
    with pytest.raises(RuntimeError), lease(tmp_path / "entry"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def _make(entry: Path, log: Path, turns: int) -> None:
    for _ in range(turns):
        with lease(entry):
            with log.open("a") as file:
                file.write("in\n")
            time.sleep(0.005)
            with log.open("a") as file:
                file.write("out\n")


def test_processes_hold_it_one_at_a_time(tmp_path):
    context = multiprocessing.get_context("fork")
    makers = [context.Process(target=_make, args=(tmp_path / "entry", tmp_path / "log", 3)) for _ in range(3)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join(60)
    assert (tmp_path / "log").read_text().split() == ["in", "out"] * 9


def test_one_that_was_killed_makes_way_at_once(tmp_path):
    code = f"""
import time
from pathlib import Path
from methods._lease import lease
with lease(Path({str(tmp_path / "entry")!r})):
    print("held", flush=True)
    time.sleep(600)
"""
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    began = time.monotonic()
    with lease(tmp_path / "entry"):
        assert time.monotonic() - began < _lease.EXPIRES / 2
    assert list(tmp_path.iterdir()) == []


def elsewhere(held: Path, touched: float) -> Path:
    """The lease of another machine's process."""
    held.write_text("elsewhere 1 0123")
    os.utime(held, (touched, touched))
    return held


@pytest.mark.parametrize("touched", [0.0, time.time() - 3000, time.time() + 3000], ids=["1970", "past", "future"])
def test_another_machines_is_waited_for_until_it_expires_whatever_the_clocks_say(tmp_path, touched):
    held = elsewhere(tmp_path / "entry.lease", touched)
    began = time.monotonic()
    with lease(tmp_path / "entry", expires=0.4):
        assert time.monotonic() - began > 0.4
        assert "elsewhere" not in held.read_text()


def test_a_clock_that_jumps_takes_no_lease_from_who_lives(tmp_path):
    """Each sign of life carries another time: an hour ahead, then two days behind, as after somebody set the clock."""
    held = elsewhere(tmp_path / "entry.lease", time.time())
    began = time.monotonic()

    def live() -> None:
        for beat in range(8):
            jump = 3600 if beat % 2 else -2 * 86_400
            os.utime(held, (time.time() + jump + beat, time.time() + jump + beat))
            time.sleep(0.2)
        held.unlink()

    holder = threading.Thread(target=live)
    holder.start()
    with lease(tmp_path / "entry", expires=0.8):
        assert time.monotonic() - began > 1.5
    holder.join()


def test_one_held_on_this_machine_counts_as_held_whatever_its_time(tmp_path):
    with lease(tmp_path / "entry"):
        os.utime(tmp_path / "entry.lease", (0, 0))
        assert _lease.is_held(tmp_path / "entry")
    elsewhere(tmp_path / "entry.lease", 0)
    assert not _lease.is_held(tmp_path / "entry")


def test_a_holder_shows_that_it_lives(tmp_path):
    with lease(tmp_path / "entry", beat=0.02):
        held = tmp_path / "entry.lease"
        os.utime(held, (0, 0))
        deadline = time.monotonic() + 30
        while held.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert held.stat().st_mtime > 0


def test_one_that_was_taken_over_is_not_given_back_by_its_old_holder(tmp_path):
    with lease(tmp_path / "entry"):
        (tmp_path / "entry.lease").write_text("elsewhere 1 0123")
    assert (tmp_path / "entry.lease").read_text() == "elsewhere 1 0123"


def test_a_mark_left_by_one_that_died_clearing_does_not_block_for_ever(tmp_path):
    held = elsewhere(tmp_path / "entry.lease", 0)
    (tmp_path / ".entry.lease.0123.abandoned").mkdir()
    with lease(tmp_path / "entry", expires=0.2):
        assert "elsewhere" not in held.read_text()
    assert list(tmp_path.iterdir()) == []


def test_one_whose_maker_died_making_it_expires(tmp_path):
    held = tmp_path / "entry.lease"
    held.touch()
    with lease(tmp_path / "entry", expires=0.2):
        assert held.read_text()
