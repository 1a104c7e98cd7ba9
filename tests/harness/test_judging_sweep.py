from __future__ import annotations

import pytest
from faults import FaultServer

from harness.exits import ExitCode
from judges.problems import JudgingError
from results.reliability import cards
from results.store import Run

ANSWERS = {"name": "answers", "max_new_tokens": 4, "limit": 2}


@pytest.fixture
def judged_sweep(tiny_sweep, tiny_folder):
    """``judged_sweep(judge)``: a sweep of none and rtn in English whose answers are judged by the [judge] table."""

    def run(judge, **changes):
        model = str(tiny_folder(max_position_embeddings=8192))
        return tiny_sweep(models=[model], languages=["en"], task=[ANSWERS], judge=judge, **changes)

    return run


def test_a_sweep_with_a_judge_judges_after_measuring_and_goes_on(judged_sweep, tiny_sweep, tiny_folder, tmp_path):
    judge = {"name": "local", "model": str(tiny_folder(max_position_embeddings=8192)), "dtype": "float32"}
    assert judged_sweep(judge) is ExitCode.OK
    records = tiny_sweep.records()
    assert {key[:1] + key[2:] for key in records if key[2] == "pairwise"} == {
        ("none", "pairwise", "en"),
        ("rtn", "pairwise", "en"),
    }
    record = next(r for key, r in records.items() if key[2] == "pairwise" and key[0] == "rtn")
    assert record.cell.params["judge"] == "local"
    assert record.estimates["win_rate"].clusters == 2
    assert record.environment
    (card,) = cards(Run.open(tmp_path / "run"))
    assert card.aa_ties is not None
    before = (tmp_path / "run" / "records.jsonl").read_bytes()
    assert judged_sweep(judge) is ExitCode.OK
    assert (tmp_path / "run" / "records.jsonl").read_bytes() == before


def test_a_budget_ends_a_sweep_with_3_and_the_rest_is_measured(judged_sweep, tiny_sweep, monkeypatch):
    monkeypatch.setenv("TEST_KEY", "x")
    with FaultServer() as server:
        judge = {"name": "api", "model": "m", "base_url": server.url, "key_variable": "TEST_KEY", "concurrency": 1}
        assert judged_sweep({**judge, "budget": "3calls"}) is ExitCode.INCOMPLETE
        assert server.requests.total() == 3
        statuses = {(key[0], key[2]): record.status for key, record in tiny_sweep.records().items()}
        assert statuses["rtn", "answers"] == "ok"
        assert statuses["rtn", "pairwise"] == "skipped"
        assert judged_sweep(judge) is ExitCode.OK


def test_what_judging_lacks_is_told_before_anything_is_measured(judged_sweep, tmp_path):
    with pytest.raises(JudgingError, match="the environment variable NO_KEY is not set"):
        judged_sweep({"name": "api", "model": "m", "key_variable": "NO_KEY"})
    assert not (tmp_path / "run").exists()


def test_an_endpoint_out_of_reach_costs_the_judging_only(judged_sweep, tiny_sweep, monkeypatch, capsys):
    monkeypatch.setenv("TEST_KEY", "x")
    judge = {"name": "api", "model": "m", "base_url": "http://127.0.0.1:9/v1", "key_variable": "TEST_KEY", "tries": 1}
    assert judged_sweep(judge) is ExitCode.INCOMPLETE
    assert "not judged: http://127.0.0.1:9/v1 cannot be reached" in capsys.readouterr().err
    assert all(record.status == "ok" for record in tiny_sweep.records().values())
