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


def test_the_original_answers_twice_where_the_judge_table_says_so(judged_sweep, tiny_folder, tmp_path):
    model = str(tiny_folder(max_position_embeddings=8192))
    assert judged_sweep({"name": "local", "model": model, "dtype": "float32", "again": True}) is ExitCode.OK
    run = Run.open(tmp_path / "run")
    answered = [record.cell for record in run.records() if record.cell.task == "answers"]
    assert sorted((cell.variant.method, cell.params["seed"]) for cell in answered) == [
        ("none", 0),
        ("none", 1),
        ("rtn", 0),
    ]
    first, second = (cell for cell in answered if cell.variant.method == "none")
    assert run.conversations(first.key) == run.conversations(second.key)  # greedy, in float32
    (again,) = (record for record in run.records() if "again" in record.notes)
    assert (again.cell.reference, again.notes["again"]) == (second.key, "batch shape")
    assert again.estimates["win_rate"].value == 0.5


@pytest.fixture
def best_of_three(tiny_sweep, tiny_folder):
    """``best_of_three(**changes)``: three roundings, of which the best answers for the judge."""
    model = str(tiny_folder(max_position_embeddings=8192))

    def run(**changes):
        given = {
            "models": [model],
            "languages": ["en", "ko"],
            "limit": 3,
            "method": [{"name": "rtn", "granularity": "row", "bits": [2, 4, 3]}],
            "task": [{"name": "perplexity"}, {**ANSWERS, "only": "judged"}],
            "judge": {"name": "local", "model": model, "dtype": "float32", "best": 1, "by": "bits"},
        }
        return tiny_sweep(**{**given, **changes})

    return run


def test_the_best_answer_for_the_judge_once_all_else_is_measured(best_of_three, tiny_sweep, tmp_path, capsys):
    assert best_of_three() is ExitCode.OK
    told = capsys.readouterr().err
    records = tiny_sweep.records()
    bits = {
        of: max(
            records["rtn", of, "perplexity", language].estimates["bits_per_sentence"].value
            - records["none", None, "perplexity", language].estimates["bits_per_sentence"].value
            for language in ("en", "ko")
        )
        for of in (2, 4, 3)
    }
    best = min(bits, key=bits.__getitem__)
    assert f"note: to be judged: rtn {best}-bit" in told
    assert "by the best variant of each model by bits once all else is measured" in told
    assert {key for key in records if key[2] != "perplexity"} == {
        (*who, task, language)
        for who in (("none", None), ("rtn", best))
        for task in ("answers", "pairwise")
        for language in ("en", "ko")
    }
    assert records["rtn", best, "pairwise", "ko"].notes["chosen"] == "1 by bits"
    before = (tmp_path / "run" / "records.jsonl").read_bytes()
    assert best_of_three() is ExitCode.OK
    assert (tmp_path / "run" / "records.jsonl").read_bytes() == before
    lines = before.splitlines(keepends=True)
    cut = b"".join(lines[:11])  # without half of the best variant's answers and all verdicts
    (tmp_path / "run" / "records.jsonl").write_bytes(cut)
    assert best_of_three() is ExitCode.OK
    assert tiny_sweep.records().keys() == records.keys()


def test_answers_that_nobody_judges_say_which_command_judges_them(tiny_sweep, tmp_path, capsys):
    assert tiny_sweep(languages=["en"], method=[{"name": "none"}], task=[{**ANSWERS, "limit": 1}]) is ExitCode.OK
    assert (
        "note: the answers are not judged, for no judge is named; name one of `langgap judges` with: "
        f"langgap judge {tmp_path / 'run'} --judge NAME"
    ) in capsys.readouterr().err
    assert {key[2] for key in tiny_sweep.records()} == {"answers"}


def test_without_a_compressed_variant_nobody_is_judged_and_nothing_is_missing(best_of_three, tiny_sweep, capsys):
    assert best_of_three(method=[{"name": "none"}], languages=["en"], limit=1) is ExitCode.OK
    told = capsys.readouterr().err
    assert "note: nobody is judged: no compressed variant was measured" in told
    assert "the answers are not judged" not in told
    assert {key[2] for key in tiny_sweep.records()} == {"perplexity", "answers"}


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
