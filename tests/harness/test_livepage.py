"""The page while a sweep runs: when it is written, and that nothing about it stops the sweep."""

from __future__ import annotations

import os

import pytest

from harness import livepage
from harness.livepage import LivePage
from reports import running
from results.cell import Cell, Variant
from results.record import Record

VARIANTS = [Variant("m", "w", "rtn", {"bits": bits}) for bits in (8, 4, 3, 2)]
CELLS = [Cell(variant, "perplexity", 1, language, "t") for variant in VARIANTS for language in ("en", "ko")]


class Timed(LivePage):
    """Its clock is ``now``, writing takes ``cost`` seconds and is told in ``written``, notices are ``heard``."""

    def __init__(self, out):
        self.now, self.cost, self.written, self.heard = 0.0, 1.0, [], []
        super().__init__(out, "ko", self.heard.append, clock=lambda: self.now)


@pytest.fixture
def live(tmp_path, monkeypatch):
    made = Timed(tmp_path)

    def write(out, done, total, lang):
        made.now += made.cost
        made.written.append((out, done, total, lang))

    monkeypatch.setattr(running, "write_running", write)
    made.expect(VARIANTS, CELLS)
    return made


def finish(live, number, at):
    live.now = at
    for cell in CELLS[2 * number : 2 * number + 2]:
        live.saw(Record(cell, "ok"))


def test_it_is_written_when_a_variant_is_finished_but_not_for_the_last(live, tmp_path):
    live.now = 1000.0
    live.saw(Record(CELLS[0], "ok"))
    assert live.written == []
    live.saw(Record(CELLS[1], "failed", reason="no memory"))
    assert live.written == [(tmp_path, 1, 4, "ko")]
    for number in (1, 2, 3):
        finish(live, number, at=1000.0 * (number + 1))
    assert [done for _, done, _, _ in live.written] == [1, 2, 3]


def test_it_is_skipped_where_it_would_cost_more_than_its_share(live):
    early = livepage.GUESS / livepage.SHARE
    finish(live, 0, at=early - 1)
    assert live.written == []
    live.cost = 30.0
    finish(live, 1, at=early + 1)
    assert len(live.written) == 1
    finish(live, 2, at=live.now + 30 / livepage.SHARE - 1)
    assert len(live.written) == 1


def test_variants_of_before_count_as_finished(live, tmp_path):
    live.expect(VARIANTS, CELLS[4:])
    finish(live, 2, at=1000.0)
    assert live.written == [(tmp_path, 3, 4, "ko")]


def test_a_page_that_cannot_be_written_is_one_line_and_the_sweep_goes_on(live, monkeypatch):
    def broken(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr(running, "write_running", broken)
    for number in range(3):
        finish(live, number, at=1000.0 * (number + 1))
    assert live.heard == ["the page is not written again before the sweep ends (OSError: no space left)"]


@pytest.mark.parametrize(
    ("stamp", "made"),
    [
        ('<meta name="records" content="{}">', []),
        ("", ["ko"]),  # of a run that goes on
        ('<meta name="records" content="0123456789abcdef">', ["ko"]),
    ],
)
def test_a_page_is_kept_at_the_end_if_it_was_made_of_these_records_whatever_the_clock_says(
    tmp_path, monkeypatch, stamp, made
):
    from harness import sweep
    from reports import html
    from results.files import file_digest

    written = []
    monkeypatch.setattr(html, "write_report", lambda out, lang: written.append(lang))
    records, page = tmp_path / "records.jsonl", tmp_path / "report.html"
    records.write_text("{}\n")
    stamp = stamp.format(file_digest(records))
    page.write_text(f'<!DOCTYPE html>\n<html lang="ko">\n<head>\n<meta charset="utf-8">\n{stamp}', encoding="utf-8")
    for time in (0, 2**31):
        os.utime(page, (time, time))
        sweep._page(sweep.SweepOptions(tmp_path, tmp_path, lang="ko"))
    assert written == 2 * made
    sweep._page(sweep.SweepOptions(tmp_path, tmp_path, lang="en"))
    assert written == [*2 * made, "en"]
