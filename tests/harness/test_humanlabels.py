from __future__ import annotations

import io
import json

import pytest
from faults import FaultServer

from harness.humanlabels import read_labelled
from harness.judgelist import read_judging
from harness.judging import judge_run
from harness.progress import Reporter
from judges.problems import JudgingError
from results.reliability import cards
from results.store import Run

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
    assert "m and people agree on 50.0% of the labelled en pairs" in told.getvalue()
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
