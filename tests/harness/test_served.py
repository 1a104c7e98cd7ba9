"""The command `served` before a server on loopback that fails in the ways that real ones do."""

from __future__ import annotations

from functools import partial

import pytest
from faults import FaultServer

from harness import served
from harness.cli import main
from harness.exits import ExitCode
from judges.endpoint import Endpoint
from results.store import Run

COUNT = 6
GREEDY = {"temperature": "greedy", "seed": 0}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-key")
    # Clients of these tests wait for milliseconds where others wait for seconds.
    monkeypatch.setattr("judges.endpoint.Endpoint", partial(Endpoint, first_wait_seconds=0.005))


@pytest.fixture
def asked(answered_run, monkeypatch):
    """``asked(languages)``: the folder of a run whose models wrote what ``written`` says, greedily."""
    cell = type(answered_run).cell
    monkeypatch.setattr(type(answered_run), "cell", lambda *words, **params: cell(*words, **{**GREEDY, **params}))

    def run(*languages):
        return answered_run(
            ("none", "rtn"), languages, COUNT, lambda _, question, turn: written(question.turns[turn - 1])
        )

    return run


def written(prompt):
    """What this model writes greedily, here and behind the server."""
    return f"{prompt.split()[0]} {len(prompt)} is what I think of it."


def serve(folder, server, *more, variant="rtn"):
    return main(["served", str(folder), "--variant", variant, "--base-url", server.url, "--model", "small", *more])


def records(folder):
    found = Run.open(folder)
    return {record.cell.language: (record, found.conversations(record.cell.key)) for record in found.records()}


def test_what_a_server_answers_is_recorded_with_who_answered(asked, tmp_path, capsys):
    folder = asked("en", "ko")
    before = (folder / "records.jsonl").read_bytes()
    with FaultServer(message=written) as server:
        assert serve(folder, server) == ExitCode.OK
        assert server.requests.total() == 2 * COUNT * 2
        first, second = (next(b for b in server.bodies if len(b["messages"]) == n) for n in (1, 3))
        assert first["temperature"] == 0
        assert first["max_tokens"] == 8
        assert second["messages"][1] == {"role": "assistant", "content": written(second["messages"][0]["content"])}
        assert {body["authorization"] for body in server.bodies} == {"Bearer sk-very-secret-key"}
        out = tmp_path / "run-served"
        found = records(out)
        assert set(found) == {"en", "ko"}
        record, told = found["ko"]
        assert record.cell.variant.method == "rtn"
        assert record.cell.params == {**answered(folder, "rtn", "ko").cell.params, "engine": "server"}
        assert record.notes["served"] == f"small at {server.url}"
        assert record.notes["agreement"] == "12 of 12 greedy answers are those written here, word for word"
        assert record.estimates["tokens_per_answer"].value == 20
        assert [one.question for one in told] == [s.group for s in Run.open(out).samples(record.cell.key)]
        assert told[0].stops == ("end", "end")
        assert serve(folder, server) == ExitCode.OK  # nothing is left to ask
        assert server.requests.total() == 2 * COUNT * 2
    assert (folder / "records.jsonl").read_bytes() == before
    assert b"very-secret" not in b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert "word for word" in capsys.readouterr().out


def answered(folder, method, language):
    found = (record for record in Run.open(folder).records() if record.cell.language == language)
    return next(record for record in found if record.cell.variant.method == method)


def test_another_model_is_told_after_a_few_questions(asked, tmp_path, capsys):
    with FaultServer(message=lambda prompt: f"No. {written(prompt)}") as server:
        assert serve(asked("en"), server) == ExitCode.INCOMPLETE
        assert server.requests.total() == served.CHECKED * 2
    record, told = records(tmp_path / "run-served")["en"]
    assert record.status == "failed"
    assert record.reason.startswith("the server does not answer as this variant does here: 0 of 4 greedy answers begin")
    assert told == []
    assert "Is it the export of this variant" in capsys.readouterr().out


def test_answers_that_part_late_are_the_same_models(asked, tmp_path):
    with FaultServer(message=lambda prompt: written(prompt).replace("of it", "of that")) as server:
        assert serve(asked("en"), server) == ExitCode.OK
    said = records(tmp_path / "run-served")["en"][0].notes["agreement"]
    assert said.startswith(
        "0 of 6 greedy answers are those written here, word for word; the others share their first 8"
    )


def test_faults_cost_no_answer_and_no_reply_is_asked_for_twice(asked, tmp_path):
    folder = asked("en")
    faults = ("429 after", "500", "cut", "truncated", "schema")
    with FaultServer(message=written, rate=0.3, faults=faults) as server:
        assert serve(folder, server) == ExitCode.OK
        assert server.paid.total() == COUNT * 2
    with FaultServer(message=written) as server:
        assert serve(folder, server, "--out", str(tmp_path / "whole")) == ExitCode.OK
    assert records(tmp_path / "run-served")["en"][1] == records(tmp_path / "whole")["en"][1]


def test_after_a_breakdown_only_what_is_missing_is_asked(asked, tmp_path):
    folder = asked("en")
    with FaultServer(message=written, rate=1.0, faults=("500",)) as server:
        server.fault_of = lambda digest, number: "500" if sum(server.paid.values()) >= 9 else None
        assert serve(folder, server, "--concurrency", "1") == ExitCode.INCOMPLETE
        reason = records(tmp_path / "run-served")["en"][0].reason
        assert reason.startswith("6 tries failed; the last: HTTP 500")
        server.fault_of = lambda digest, number: None
        assert serve(folder, server) == ExitCode.OK
        assert server.paid.total() == COUNT * 2
        assert set(server.paid.values()) == {1}


@pytest.mark.parametrize(
    ("entries", "version", "said"),
    [
        (
            [{"id": "small", "owned_by": "vllm", "max_model_len": 4096}],
            "0.11.0",
            "vllm, version 0.11.0, max_model_len 4096",
        ),
        ([{"id": "other", "owned_by": "vllm"}], None, "it does not say what it is"),
        (None, None, "it does not say what it is"),
    ],
)
def test_the_engine_is_who_it_says_it_is(monkeypatch, entries, version, said):
    pages = {
        "http://127.0.0.1:1/version": {"version": version} if version else None,
        "http://127.0.0.1:1/v1/models": {"data": entries} if entries else None,
    }
    monkeypatch.setattr(served, "look", lambda url, key: pages[url])
    assert served.engine_of(Endpoint("small", "http://127.0.0.1:1/v1"), "x") == said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--base-url", "http://127.0.0.1:9/v1"],
            "http://127.0.0.1:9/v1 does not list its models. Is the server running",
        ),
        (["--base-url", "{url}", "--variant", "awk"], "There is no variant with answers 'awk'"),
        (["--base-url", "{url}", "--out", "{run}"], "--out is the run itself"),
        (["--base-url", "{url}", "--key-variable", "NO_KEY"], "environment variable NO_KEY is not set"),
    ],
)
def test_mistakes_are_told_in_a_sentence(asked, capsys, words, said):
    folder = asked("en")
    with FaultServer(message=written) as server:
        given = [word.format(url=server.url, run=folder) for word in words]
        variant = [] if "--variant" in given else ["--variant", "rtn"]
        model = [] if "127.0.0.1:9" in str(given) else ["--model", "small"]
        assert main(["served", str(folder), *variant, *model, *given]) == ExitCode.USAGE
    assert said in capsys.readouterr().err
