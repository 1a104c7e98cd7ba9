"""What a sweep says while it works."""

from __future__ import annotations

import io
import re

import pytest

from harness import progress
from harness.progress import reporting
from results.cell import Cell, Variant
from results.estimate import Estimate
from results.record import Record


class Terminal(io.StringIO):
    def isatty(self):
        return True


def record(status="ok", task="perplexity", language="ko", estimates=None, reason=None, seconds=None):
    cell = Cell(Variant("m", "w", "rtn", {"bits": 4}), task, 1, language, "text")
    return Record(cell, status, estimates or {}, reason, seconds=seconds or {})


def lines(*records, expect=26):
    stream = io.StringIO()
    with reporting(stream) as reporter:
        reporter.expect(expect, already=0)
        for each in records:
            reporter.finished(each, "rtn 4-bit")
    return stream.getvalue().splitlines()[1:]


def test_a_cell_is_one_line_with_place_status_variant_task_language_and_number():
    found = lines(
        record(task="footprint", language="und", estimates={"total_bytes": Estimate(8.0)}),
        record(task="fidelity", estimates={"kld_median": Estimate(0.1), "kld_mean": Estimate(0.012345)}),
        record(estimates={"nats_per_token": Estimate(3.0), "perplexity": Estimate(20.0855)}, seconds={"read": 1.24}),
    )
    assert found == [
        "[1/26] ok rtn 4-bit footprint und",
        "[2/26] ok rtn 4-bit fidelity ko kld=0.01235",
        "[3/26] ok rtn 4-bit perplexity ko ppl=20.09 1.2s",
    ]


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_what_went_wrong_is_in_the_line(status):
    seconds = {"compress": 1.0, "load": 0.5}
    assert lines(record(status, reason="no 3 GB left", seconds=seconds)) == [
        f"[1/26] {status} rtn 4-bit perplexity ko (no 3 GB left) 1.5s"
    ]


def test_it_begins_with_what_is_to_do_and_what_was_done_before():
    stream = io.StringIO()
    with reporting(stream) as reporter:
        reporter.expect(26, already=0)
        reporter.expect(2, already=24)
        reporter.notice("its last line was incomplete")
    assert stream.getvalue().splitlines() == [
        "26 cells to measure",
        "2 cells to measure, 24 measured before",
        "note: its last line was incomplete",
    ]


def test_away_from_a_terminal_a_phase_is_heard_of_only_when_it_is_long(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    with reporting(stream) as reporter:
        for second in range(50):
            now[0] = float(second)
            reporter.phase("reading", second, 50)
    assert stream.getvalue().splitlines() == ["  ... reading: 21 of 50", "  ... reading: 42 of 50"]


def test_on_a_terminal_there_is_a_bar_and_the_lines_stay_above_it(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    with reporting(stream) as reporter:
        reporter.expect(2, already=1)
        reporter.phase("rounding blocks", 1, 18)
        reporter.notice("[red]no markup[/red]")
        reporter.finished(record(estimates={"perplexity": Estimate(20.0)}), "rtn 4-bit")
        shown = reporter._bar.get_renderable()
        bars = {task.description: (task.completed, task.total) for task in reporter._bar.tasks}
    assert bars == {"cells": (1, 2), "rounding blocks": (1, 18)}
    assert shown is not None
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "note: [red]no markup[/red]" in plain
    assert "[1/2] ok rtn 4-bit perplexity ko ppl=20" in plain
    assert "cells" in plain


def test_it_speaks_on_stderr(capsys):
    with reporting() as reporter:
        reporter.notice("here")
    assert capsys.readouterr() == ("", "note: here\n")
