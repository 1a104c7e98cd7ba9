"""Batches: every request is asked once and paid once, whatever happens in between, and what fails has its reason."""

from __future__ import annotations

import json

import pytest
from faults import FaultServer, letter_of

from judges.api import ApiJudge, judge_all
from judges.batch import Batches
from judges.duel import Preference, games
from judges.endpoint import Client, Endpoint
from judges.judgements import Judgements
from judges.problems import BudgetReached, JudgingError
from judges.prompts import load_prompts
from judges.questions import load_questions
from judges.spending import Budget, Prices, Spending

LETTERS = {"A": Preference.FIRST, "B": Preference.SECOND, "C": Preference.TIE}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TEST_KEY", "sk-very-secret-key")


@pytest.fixture
def kept(tmp_path):
    with Judgements(tmp_path / "judgements.jsonl") as judgements:
        yield judgements


def a_judge(server, kept, spending=None):
    endpoint = Endpoint("judge-1", server.url, "TEST_KEY", timeout_seconds=3.0, tries=3, first_wait_seconds=0.005)
    client = Client(endpoint, spending)
    return ApiJudge(client, load_prompts("ko"), kept, batches=Batches(client, kept, kept.path.with_suffix(".b"), 0.01))


def some_duels(count):
    questions = load_questions("bundled", "ko")
    for number in range(count):
        yield from games(questions[number % 24], 1, (f"답 {number}",), (f"다른 답 {number}",))


def asked_in_batches(judge, duels):
    judge.batches.ask(judge.request(duel) for duel in duels)
    return list(judge_all(judge, duels, 4))


def waiting(judge):
    return list(judge.batches.folder.glob("*"))


def test_a_batch_brings_what_single_calls_bring_and_asks_nothing_twice(kept, tmp_path):
    duels = list(some_duels(10))
    with FaultServer() as server, Judgements(tmp_path / "single.jsonl") as single:
        judge = a_judge(server, kept)
        found = asked_in_batches(judge, [*duels, *duels[:3]])[:20]
        assert (len(server.batches), server.paid.total(), waiting(judge)) == (1, 20, [])
        asked_in_batches(a_judge(server, kept), duels)
        assert (len(server.batches), server.paid.total()) == (1, 20)
        alone = list(judge_all(ApiJudge(judge.client, judge.prompts, single), duels, 4))
    assert [(one.preference, one.message, one.key) for one in found] == [
        (one.preference, one.message, one.key) for one in alone
    ]
    for duel, one in zip(duels, found, strict=True):
        assert one.preference is LETTERS[letter_of(judge.prompts.pair(duel, "explained").user)]
        assert one.identity["reported"] == "judge-2026-01-01"


def test_what_fails_in_a_batch_has_its_reason_and_is_asked_again_by_the_next_run(kept):
    duels = list(some_duels(20))
    with FaultServer(rate=0.3) as server:
        found = asked_in_batches(a_judge(server, kept), duels)
        lost = [one for one in found if one.preference is Preference.FAILED]
        assert 0 < len(lost) < 40
        assert {one.reason for one in lost} == {"in the batch: HTTP 500: the server had an error"}
        server.rate, server.end = 0.0, "expired"
        judge = a_judge(server, kept)
        left = [one for one in asked_in_batches(judge, duels) if one.preference is Preference.FAILED]
        assert len(left) == len(lost) - len(lost) // 2
        assert {one.reason for one in left} == {"the batch ended (expired) without a reply to it"}
        server.end = "completed"
        found = asked_in_batches(a_judge(server, kept), duels)
        assert {one.preference for one in found} <= set(LETTERS.values())
        assert (server.paid.total(), len(server.batches), max(server.paid.values())) == (40, 3, 1)


@pytest.mark.parametrize("killed", ["before", "after", "while"])
def test_killed_around_the_making_of_a_batch_the_next_run_takes_it_up(killed, kept, monkeypatch):
    duels = list(some_duels(5))
    with FaultServer() as server, monkeypatch.context() as patched:
        judge, real = a_judge(server, kept), Batches._write

        def write(self, path, value):
            if killed == "after" and value["batch"]:
                raise KeyboardInterrupt
            real(self, path, value)

        def stop(*anything):
            raise KeyboardInterrupt

        patched.setattr(Batches, "_write", write)
        patched.setattr(Batches, {"before": "_create", "after": "_waited_for", "while": "_waited_for"}[killed], stop)
        with pytest.raises(KeyboardInterrupt):
            asked_in_batches(judge, duels)
        assert (len(server.batches), len(waiting(judge))) == (int(killed != "before"), 1)
        patched.undo()
        more = [*duels, *list(some_duels(7))[10:]]
        found = asked_in_batches(a_judge(server, kept), more)
    assert {one.preference for one in found} <= set(LETTERS.values())
    assert (server.paid.total(), max(server.paid.values())) == (14, 1)
    assert waiting(judge) == []


def test_a_reply_that_is_cut_hides_a_batch_that_was_made_and_it_is_found(kept):
    with FaultServer() as server:
        judge = a_judge(server, kept)
        server.cut_after = 2  # the search, and then the upload
        asked_in_batches(judge, list(some_duels(2)))
        assert len(server.batches) == 1

        real = server.manage

        def cut_the_making(path, raw):
            if path == "/v1/batches" and raw:
                server.cut_after = 1
            return real(path, raw)

        server.manage = cut_the_making
        asked_in_batches(judge, list(some_duels(4)))
        assert (len(server.batches), server.paid.total()) == (2, 8)


def test_a_budget_goes_as_far_as_it_reaches_and_is_settled_with_what_was_used(kept):
    duels = list(some_duels(5))
    with FaultServer() as server:
        judge = a_judge(server, kept, Spending(Budget(calls=6), Prices(1.0, 1.0)))
        with pytest.raises(BudgetReached, match="The budget of 6 calls is spent"):
            asked_in_batches(judge, duels)
        assert (server.paid.total(), len(kept), judge.client.spending.calls) == (6, 6, 6)
        assert judge.client.spending.dollars == pytest.approx(6 * 120e-6)
        asked_in_batches(a_judge(server, kept), duels)
        assert (server.paid.total(), max(server.paid.values())) == (10, 1)


def test_a_refusal_and_a_dead_endpoint_are_told_in_a_sentence(kept):
    with FaultServer() as server:
        server.end = "failed"
        judge = a_judge(server, kept)
        with pytest.raises(
            JudgingError, match=r"refused a batch of 4 requests: This model knows no batches\. Leave out"
        ):
            asked_in_batches(judge, list(some_duels(2)))
        assert waiting(judge) == []
        server.cut_after = 100
        with pytest.raises(JudgingError, match=r"are out of reach: 3 tries failed; .* takes them up where they are"):
            asked_in_batches(judge, list(some_duels(2)))
        (path,) = waiting(judge)
        assert json.loads(path.read_text())["batch"] is None


def test_large_sets_are_divided(kept, monkeypatch):
    monkeypatch.setattr("judges.batch.MOST_REQUESTS", 3)
    with FaultServer() as server:
        asked_in_batches(a_judge(server, kept), list(some_duels(4)))
        assert [len(server.files[one["input_file_id"]].splitlines()) for one in server.batches.values()] == [3, 3, 2]
    assert len(kept) == 8
