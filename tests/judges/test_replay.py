from __future__ import annotations

import json

import pytest
from faults import FaultServer

from judges.api import ApiJudge, judge_all
from judges.duel import Duel, Judgement, Outcome, Preference, games, play
from judges.endpoint import Client, Endpoint
from judges.judgements import Judgements
from judges.llmbar import labelled_question
from judges.panel import agreement, tally
from judges.problems import JudgingError
from judges.prompts import load_prompts
from judges.questions import Question
from judges.replay import ReplayJudge, disagreements, read_replay


@pytest.fixture
def recorded(tmp_path, monkeypatch, question):
    """A file with one duel of two models under one version of the prompts, and the judgements."""
    monkeypatch.setenv("TEST_KEY", "x")
    path, duel = tmp_path / "j.jsonl", Duel(question, 1, ("a",), ("b",))
    judged = []
    with FaultServer() as server, Judgements(path) as kept:
        for model in ("one", "two"):
            judge = ApiJudge(Client(Endpoint(model, server.url, "TEST_KEY")), load_prompts("en"), kept)
            judged += judge_all(judge, [duel], 1)
    return path, duel, judged


def test_a_replay_says_what_was_said(recorded, question):
    path, duel, judged = recorded
    judge = read_replay(path, model="one")
    assert judge.judge(duel) == judged[0]
    missing = judge.judge(duel.swapped)
    assert (missing.preference, missing.reason) == (Preference.FAILED, "no judgement of this duel was recorded")
    assert play(judge, question, 1, ("a",), ("b",)).conservative is Outcome.ERROR


def test_a_file_of_other_judges_or_prompts_is_refused_with_what_it_holds(recorded, tmp_path):
    path, _, _ = recorded
    version = load_prompts("en").hash
    with pytest.raises(JudgingError, match=f"holds judgements of one with prompts {version} and two with .*say which"):
        read_replay(path)
    with pytest.raises(
        JudgingError, match=f"no judgements of any model with prompts 0000, only of one with .*{version}"
    ):
        read_replay(path, prompts="0000")
    with pytest.raises(JudgingError, match="no judgements of three, only of one"):
        read_replay(path, model="three")
    with pytest.raises(JudgingError, match=r"There is no judgements file .*absent.jsonl"):
        read_replay(tmp_path / "absent.jsonl")


def test_a_bridge_counts_who_says_what():
    first = [Judgement(Preference.FIRST), Judgement(Preference.TIE)]
    other = [Judgement(Preference.FIRST), Judgement(Preference.FIRST)]
    assert disagreements(first, other) == {("first", "first"): 1, ("tie", "first"): 1}


def test_recorded_gpt4_agrees_with_people_as_published(shared):
    """LLMBar (arXiv 2310.07641), MT-Bench pairs, GPT-4 with the plain prompt, its published statistics.json:

    right 159 / 200 = 79.5% in the given order, 165 / 200 = 82.5% swapped, 81.0% on average; right in both orders
    149 / 200 = 74.5%; the same answer preferred in both orders 174 / 200 = 87.0%. Five pairs occur twice, so each pair
    is replayed from its own recording.
    """
    folder = shared / "judge"
    people = json.loads((folder / "llmbar_mt-bench.json").read_text(encoding="utf-8"))
    gpt4 = json.loads((folder / "llmbar_mt-bench_gpt4_Vanilla_NoRules_result.json").read_text(encoding="utf-8"))
    said = {"Output (a)": Preference.FIRST, "Output (b)": Preference.SECOND}
    matches, labels = [], []
    for pair, row in zip(people, gpt4, strict=True):
        assert (row["input"], row["output_1"], row["output_2"]) == (pair["input"], pair["output_1"], pair["output_2"])
        question = Question("1", "1", "general", (pair["input"], "(none)"), None, "en")
        a, b = (pair["output_1"],), (pair["output_2"],)
        there, back = games(question, 1, a, b)
        messages = [row["results"][0][name]["completion"][0] for name in ("swap = False", "swap = True")]
        records = {
            duel.key: Judgement(said[message], message) for duel, message in zip((there, back), messages, strict=True)
        }
        matches.append(play(ReplayJudge(records), question, 1, a, b))
        labels.append({1: Preference.FIRST, 2: Preference.SECOND}[pair["label"]])
    assert len(matches) == 200
    swapped = [Preference.FIRST if label is Preference.SECOND else Preference.SECOND for label in labels]
    assert agreement([match.games[0] for match in matches], labels) == 159 / 200
    assert agreement([match.games[1] for match in matches], swapped) == 165 / 200
    wanted = [Outcome.WIN if label is Preference.FIRST else Outcome.LOSS for label in labels]
    assert sum(match.conservative is outcome for match, outcome in zip(matches, wanted, strict=True)) == 149
    assert tally(matches).inconsistent == 200 - 174
    assert tally(matches).errors == 0


def test_a_file_of_llmbar_is_replayed_by_its_last_verdict_and_what_names_none_is_unreadable(tmp_path):
    path = tmp_path / "result.json"

    def row(there, back):
        results = [{"swap = False": {"completion": [there, "stop"]}, "swap = True": {"completion": [back, "stop"]}}]
        return {"input": "Ask.", "output_1": "one", "output_2": there, "results": results}

    path.write_text(json.dumps([row("Output (b)", "Output (b) seems good, yet Output (a) is better."), row("?", "")]))
    judge = read_replay(path)
    question = labelled_question("Ask.", 5)
    match = play(judge, question, 1, ("one",), ("Output (b)",))
    assert [game.preference for game in match.games] == [Preference.SECOND, Preference.FIRST]
    assert match.conservative is Outcome.LOSS
    assert play(judge, question, 1, ("one",), ("?",)).reasons == ("the completion names no output",) * 2
    path.write_text(json.dumps([{"input": "Ask."}]))
    with pytest.raises(JudgingError, match=r"result.json, row 1, is no recorded judgement of LLMBar's \(KeyError"):
        read_replay(path)
