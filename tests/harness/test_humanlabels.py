from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from faults import FaultServer

from harness.cli import main
from harness.exits import ExitCode
from harness.humanlabels import read_labelled
from harness.judgelist import read_judging
from harness.judging import judge_run
from harness.progress import Reporter
from judges.problems import JudgingError
from results.reliability import cards
from results.store import Run

ROOT = Path(__file__).parents[2]
PAIRS = [
    {"input": "Name a colour.", "output_1": "Red.", "output_2": "Seven.", "label": 1},
    {"input": "Name a number.", "output_1": "Red.", "output_2": "Seven.", "label": 2},
    {"input": "Name a planet.", "output_1": "Mars.", "output_2": "Venus.", "label": "tie"},
    {"input": "Name a word.", "output_1": "Red.", "output_2": "Blue.", "label": 2},
]


def colour_wins(user):
    """Finds for the answer Red, wherever it stands; else a tie."""
    if "Red." not in user:
        return "[[C]]"
    other = "Seven." if "Seven." in user else "Blue."
    return "[[A]]" if other not in user or user.index("Red.") < user.index(other) else "[[B]]"


def test_agreement_with_people_stands_on_the_card(answered_run, tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_KEY", "x")
    folder, path = answered_run(("none", "rtn"), ("en",)), tmp_path / "pairs.json"
    path.write_text(json.dumps(PAIRS))
    told = io.StringIO()
    with FaultServer(message=colour_wins) as server, Run.open(folder, write=True) as run:
        table = {"name": "api", "model": "m", "base_url": server.url, "key_variable": "TEST_KEY", "aa": False}
        judge_run(run, read_judging(table, "", []), tmp_path, Reporter(told), labelled=path)
        asked = server.requests.total()
        judge_run(run, read_judging(table, "", []), tmp_path, Reporter(told), labelled=path)
        assert server.requests.total() == asked == 4 * 2 + 3 * 2 * 2
    # red wins two pairs of which people gave it one, and of the ties one is theirs; a colour has no place
    assert "m and people agree on 50.0% [0.0%, 100.0%] of 4 labelled en pairs: 50.0% in the given" in told.getvalue()
    (card,) = cards(Run.open(folder))
    assert card.with_people.value == 0.5
    assert card.with_people.clusters == 4


def test_lines_and_lists_are_read_and_what_is_no_pair_is_refused(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(json.dumps({**pair, "language": "ko"}) for pair in PAIRS))
    assert [pair.score for pair in read_labelled(path)] == [1.0, 0.0, 0.5, 0.0]
    assert {pair.question.language for pair in read_labelled(path)} == {"ko"}
    path.write_text(json.dumps([{"input": "a", "output_1": "b", "label": 1}]))
    with pytest.raises(JudgingError, match=r"pairs.jsonl, pair 1, has no 'output_2'; a pair has input, output_1"):
        read_labelled(path)
    path.write_text("{")
    with pytest.raises(JudgingError, match="neither a JSON list nor JSON Lines"):
        read_labelled(path)
    with pytest.raises(JudgingError, match="cannot be read: No such file"):
        read_labelled(tmp_path / "gone.json")


def test_without_a_run_the_agreement_is_printed_and_nothing_is_asked_twice(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TEST_KEY", "x")
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps([*PAIRS, {**PAIRS[0], "language": "ko"}]))
    with FaultServer(message=lambda user: "[[A]]") as server:
        call = ["judge", "--labels", str(path), "--judge", f"api:m,base_url={server.url},key_variable=TEST_KEY"]
        call += ["--cache", str(tmp_path / "cache")]
        assert main([*call, "--pairs", "2"]) is ExitCode.OK
        assert capsys.readouterr().out == (
            "m and people agree on 50.0% of 2 labelled en pairs: 50.0% in the given order, 50.0% swapped, 0.0% in both"
            "; the order changes 100.0% of the verdicts.\n"
        )
        assert server.requests.total() == 4
        assert main([*call, "--json"]) is ExitCode.OK
        english, korean = json.loads(capsys.readouterr().out)
        assert server.requests.total() == 10
    assert (english["language"], english["average"]["value"], korean["language"]) == ("en", 3 / 8, "ko")
    assert main(["judge"]) is ExitCode.USAGE
    assert "nobody is named to judge" in capsys.readouterr().err
    assert main(["judge", "--judge", "api:m"]) is ExitCode.USAGE
    assert "give a RUN to judge, as in `langgap judge runs/default`; or --labels FILE" in capsys.readouterr().err


def test_the_recorded_gpt4_has_its_published_agreement_by_the_command(capsys, tmp_path):
    """As tests/judges/test_replay.py counts it: 159, 165 and 149 of 200; 174 preferences survive the order."""
    folder = next((up / "shared" / "data" / "judge" for up in ROOT.parents if (up / "shared" / "data").is_dir()), None)
    if folder is None:
        pytest.skip("shared/data is not beside the project")
    replay = f"replay:{folder}/llmbar_mt-bench_gpt4_Vanilla_NoRules_result.json,model=gpt-4"
    call = ["judge", "--labels", str(folder / "llmbar_mt-bench.json"), "--judge", replay, "--cache", str(tmp_path)]
    assert main(call) is ExitCode.OK
    assert capsys.readouterr().out == (
        "gpt-4 and people agree on 81.0% [76.1%, 85.9%] of 200 labelled en pairs: 79.5% in the given order, 82.5% "
        "swapped, 74.5% in both; the order changes 13.0% of the verdicts.\n"
    )
