"""Lines that were torn or written twice, and drivers that meet: the records of an undisturbed run all the same."""

from __future__ import annotations

import pytest
from drivers import CELLS, LONGEST, drive, lines_of, whole
from faults import FaultServer

from harness.cli import main
from harness.exits import ExitCode


def test_lines_written_twice_count_once(tiny_sweep, words, tmp_path, capsys):
    """As a network file system, or a copy of one run appended to another, may leave them."""
    run = tmp_path / "run"
    command = words(run, tmp_path / "cache")
    assert main(command) == ExitCode.OK
    told = whole(run)
    for name in ("records.jsonl", "environments.jsonl"):
        lines = (run / name).read_bytes().splitlines(keepends=True)
        (run / name).write_bytes(b"".join(line for line in lines for _ in range(2)) + lines[0])
    capsys.readouterr()
    assert main(command) == ExitCode.OK
    assert f"0 cells to measure, {CELLS} measured before" in capsys.readouterr().err
    assert whole(run) == told


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_a_torn_line_costs_its_cell(tiny_sweep, words, tmp_path, capsys, cut):
    run = tmp_path / "run"
    command = words(run, tmp_path / "cache")
    assert main(command) == ExitCode.OK
    told = whole(run)
    records = run / "records.jsonl"
    records.write_bytes(records.read_bytes()[:-cut])
    capsys.readouterr()
    assert main(command) == ExitCode.OK
    said = capsys.readouterr().err
    assert "its last line was incomplete" in said
    assert f"1 cell to measure, {CELLS - 1} measured before" in said
    assert whole(run) == told
    assert set(lines_of(run).values()) == {1}


def test_judgements_torn_and_written_twice_are_paid_for_once(answered_run, tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_KEY", "x")
    folder = answered_run(("none", "rtn"), ("ko",), 3)
    with FaultServer() as server:
        judge = f"api:judge-1,base_url={server.url},key_variable=TEST_KEY"
        command = ["judge", str(folder), "--judge", judge, "--no-aa", "--cache", str(tmp_path / "cache")]
        assert main(command) == ExitCode.OK
        paid, told = server.paid.total(), whole(folder)
        kept, records = folder / "judgements" / "judge-1.jsonl", folder / "records.jsonl"
        lines = kept.read_bytes().splitlines(keepends=True)
        kept.write_bytes(b"".join(line for line in lines for _ in range(2)) + lines[0][:-9])
        records.write_bytes(b"".join(records.read_bytes().splitlines(keepends=True)[:-1]))  # to be judged again
        assert main(command) == ExitCode.OK
        assert server.paid.total() == paid
    assert whole(folder) == told


def test_of_two_drivers_of_one_run_one_works(words, tmp_path):
    both = [drive(*words(tmp_path / "run", tmp_path / "cache")) for _ in range(2)]
    assert sorted(child.wait(LONGEST) for child in both) == [ExitCode.OK, ExitCode.USAGE]
    assert len(whole(tmp_path / "run")) == CELLS
    assert set(lines_of(tmp_path / "run").values()) == {1}


def test_two_runs_with_one_cache_at_once_give_the_same(words, tmp_path):
    both = [drive(*words(tmp_path / f"run-{n}", tmp_path / "cache")) for n in range(2)]
    assert [child.wait(LONGEST) for child in both] == [ExitCode.OK, ExitCode.OK]
    assert whole(tmp_path / "run-0") == whole(tmp_path / "run-1")
    assert len(whole(tmp_path / "run-0")) == CELLS
    assert not list((tmp_path / "cache").rglob("*.lease"))
