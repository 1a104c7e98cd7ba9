from __future__ import annotations

import io
import json

import pytest
from faults import FaultServer

from harness.cli import main
from harness.exits import ExitCode
from harness.judgelist import read_judging
from harness.judging import judge_run
from harness.progress import Reporter
from harness.questions import asked
from judges.fastchat import read_answers, read_pairs
from judges.panel import tally
from judges.questions import read_questions
from results.store import Run


@pytest.fixture
def exported(answered_run, monkeypatch, capsys):
    """RUN/fastchat of a run of two methods in two languages, judged by a panel of two with A/A."""
    monkeypatch.setenv("TEST_KEY", "x")
    folder = answered_run(("none", "rtn"), ("en", "ko"))
    with FaultServer() as server, Run.open(folder, write=True) as run:
        own = {"name": "api", "base_url": server.url, "key_variable": "TEST_KEY"}
        panel = read_judging({"panel": [{**own, "model": "one"}, {**own, "model": "org/two"}]}, "", [])
        judge_run(run, panel, folder.parent, Reporter(io.StringIO()))
    assert main(["judge", str(folder), "--export", "fastchat"]) is ExitCode.OK
    assert "question.jsonl" in capsys.readouterr().out
    return folder


def test_the_folder_is_fastchats_and_counts_as_the_run_does(exported):
    folder = exported / "fastchat" / "bundled-ko"
    questions = asked("bundled", "ko", 3)
    assert read_questions(folder, "ko") == tuple(q for q in read_questions(folder, "ko") if q.language == "ko")
    assert [q.turns for q in read_questions(folder, "ko")] == [q.turns for q in questions]
    assert read_answers(folder / "model_answer" / "rtn 4-bit.jsonl")[questions[0].id] == tuple(
        f"rtn ko {questions[0].id} {turn}" for turn in (1, 2)
    )
    names = {path.name for path in (folder / "model_judgment").iterdir()}
    assert names == {"one_pair.jsonl", "org--two_pair.jsonl"}
    pairs = read_pairs(folder / "model_judgment" / "one_pair.jsonl", questions)
    assert {(pair.model_1, pair.model_2) for pair in pairs} == {("rtn 4-bit", "none")}
    assert len(pairs) == 3 * 2
    run = Run.open(exported)
    record = next(
        r for r in run.records() if (r.cell.task, r.cell.language, r.cell.variant.method) == ("pairwise", "ko", "rtn")
    )
    mean = sum(
        sample.quantities[f"game_1_{turn}_{order}"]
        for sample in run.samples(record.cell.key)
        for turn in (1, 2)
        for order in (1, 2)
    )
    assert tally(pair.match for pair in pairs).averaged_rate == pytest.approx(mean / 12)
    row = json.loads((folder / "model_judgment" / "one_pair.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert row["g1_judgment"]
    assert row["judge"][0] == "one"


def test_a_run_without_answers_has_nothing_to_export(tmp_path, capsys):
    with Run.open(tmp_path / "run", write=True):
        (tmp_path / "run" / "records.jsonl").touch()
    assert main(["judge", str(tmp_path / "run"), "--export", "fastchat"]) is ExitCode.USAGE
    assert "holds no answers, so there is nothing to export" in capsys.readouterr().err
