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


def on_terminal(monkeypatch, *records, height=40):
    """What a terminal was sent, without its control sequences."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", str(height))
    stream = Terminal()
    with reporting(stream) as reporter:
        reporter.expect(len(records), already=1)
        reporter.phase("rounding blocks", 1, 18)
        reporter.notice("[red]no markup[/red]")
        for label, each in records:
            reporter.finished(each, label)
        bars = {task.description: (task.completed, task.total) for task in reporter._bar.tasks}
        assert bars == {"cells": (len(records), len(records)), "rounding blocks": (1, 18)}
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


def test_on_a_terminal_finished_cells_are_a_table_and_only_what_went_wrong_is_a_line(monkeypatch):
    plain = on_terminal(
        monkeypatch,
        ("none", record(language="en", estimates={"perplexity": Estimate(20.0)})),
        ("none", record(estimates={"perplexity": Estimate(31.4159)})),
        ("none", record(task="footprint", language="und", estimates={"total_bytes": Estimate(8.0)})),
        ("[b]rtn[/b]", record("failed", reason="no 3 GB left")),
    )
    assert "note: [red]no markup[/red]" in plain
    assert "[4/4] failed [b]rtn[/b] perplexity ko (no 3 GB left)" in plain
    assert "ok none" not in plain
    rows = [line.split() for line in plain.splitlines()]
    assert ["variant", "en", "ko", "ok", "failed", "skipped"] in rows
    assert ["none", "20", "31.42", "3"] in rows
    assert ["[b]rtn[/b]", "failed", "1"] in rows


def test_a_win_rate_is_a_line_on_a_terminal_too(monkeypatch):
    plain = on_terminal(monkeypatch, ("awq", record(task="pairwise", estimates={"win_rate": Estimate(0.5)})))
    assert "[1/1] ok awq pairwise ko win=0.5" in plain


def test_a_low_terminal_shows_the_latest_variants(monkeypatch):
    many = [(f"v{i}", record(estimates={"perplexity": Estimate(20.0)})) for i in range(30)]
    plain = on_terminal(monkeypatch, *many, height=20)
    last = plain[plain.rindex("variant") :]
    assert "v29" in last
    assert "v20" in last
    assert "v19" not in last


def test_it_speaks_on_stderr(capsys):
    with reporting() as reporter:
        reporter.notice("here")
    assert capsys.readouterr() == ("", "note: here\n")
