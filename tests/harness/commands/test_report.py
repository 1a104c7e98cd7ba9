"""`langgap report` of one run and of several: where the page goes, and which mistakes are told how."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import main
from harness.commands.report import names
from harness.exits import ExitCode


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two folders with the smallest records there are: one number each, on the same texts."""
    from results.cell import Cell, Variant
    from results.estimate import Estimate
    from results.record import Record
    from results.store import Run

    folder = tmp_path_factory.mktemp("runs")
    for name, size in (("january", 8.0), ("february", 6.0)):
        with Run.open(folder / name, write=True) as run:
            cell = Cell(Variant("tiny", "w" * 32, "none"), "footprint", 1, "und", "none")
            run.append(Record(cell, "ok", {"total_bytes": Estimate(size)}))
    with Run.open(folder / "failed", write=True) as run:
        run.append(Record(cell, "failed", reason="out of memory"))
    return folder


def said(capsys, *arguments):
    code = main(["report", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_several_runs_are_one_page_beside_the_first(runs: Path, capsys) -> None:
    code, out, err = said(capsys, runs / "january", runs / "february", "--lang", "ko")
    assert (code, err) == (ExitCode.OK, "")
    page = runs / "compared" / "report.html"
    assert out == f"{page}\n"
    text = page.read_text(encoding="utf-8")
    assert '<html lang="ko">' in text
    assert "january, february" in text


def test_the_page_goes_where_it_is_told(runs: Path, tmp_path: Path, capsys) -> None:
    code, out, _ = said(capsys, runs / "january", runs / "february", "--out", tmp_path / "both")
    assert (code, out) == (ExitCode.OK, f"{tmp_path / 'both' / 'report.html'}\n")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("january", "./january"), "january is named twice; name each run once."),
        (("january", "failed"), "failed has no finished cell, so there is nothing to set beside the other runs."),
        (("january", "nowhere"), "nowhere is no run folder: it does not exist."),
        (("january", "february", "--out", "failed"), "failed is itself a run, whose page would be lost"),
        (("january", "--out", "elsewhere"), "--out is for several runs; the page of one run goes into its folder"),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(runs: Path, capsys, monkeypatch, given, told) -> None:
    monkeypatch.chdir(runs)
    before = sorted(runs.rglob("*"))
    code, out, err = said(capsys, *given)
    assert (code, out) == (ExitCode.USAGE, "")
    assert told in err
    assert err.count("\n") == 1
    assert sorted(runs.rglob("*")) == before


def test_a_run_of_a_newer_schema_is_refused_by_name(runs: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "records.jsonl").write_text('{"schema": 99, "key": "k"}\n', encoding="utf-8")
    code, _, err = said(capsys, runs / "january", tmp_path)
    assert code == ExitCode.USAGE
    assert f"{tmp_path / 'records.jsonl'}, line 1: its schema is 99" in err
    assert "install a newer langgap" in err


def test_runs_of_one_name_are_told_apart_by_their_folders() -> None:
    assert names([Path("/a/x/default"), Path("/b/x/default"), Path("/b/y")]) == ["a/x/default", "b/x/default", "y"]
    assert names([Path("/runs/a"), Path("/runs/b")]) == ["a", "b"]
