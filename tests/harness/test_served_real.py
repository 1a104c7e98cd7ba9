"""A tiny model compressed, exported as compressed-tensors, served by `transformers serve` and asked over its endpoint.

Nightly (`tox -e server`): the server's libraries are no part of the environment of the other tests.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec

import pytest

from harness.cli import main
from harness.exits import ExitCode
from results.store import Run

pytestmark = pytest.mark.slow
PATIENCE = 300.0
TEMPLATE = (
    "{% for message in messages %}[{{ message.role }}]{{ message.content }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
ANSWERS = {"name": "answers", "max_new_tokens": 8, "limit": 3}


@pytest.fixture
def chatty(tiny_folder, tmp_path):
    """A tiny model whose tokenizer has a chat template."""
    from transformers import AutoTokenizer

    folder = tmp_path / "model"
    shutil.copytree(tiny_folder(max_position_embeddings=8192), folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def serve(tmp_path):
    """``serve(folder)`` -> the base URL of a server that has this checkpoint."""
    for name in ("fastapi", "uvicorn", "compressed_tensors"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed: `tox -e server` installs transformers[serving], compressed-tensors")
    children = []

    def start(folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder), "--port", str(port)]
        log = tmp_path / "server.log"
        with log.open("wb") as told:
            child = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--device", "cpu", "--dtype", "float32"],
                stdout=told,
                stderr=subprocess.STDOUT,
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
                cwd=tmp_path,
            )
        children.append(child)
        end = time.monotonic() + PATIENCE
        while True:
            assert child.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            except OSError:
                time.sleep(0.5)
            else:
                return f"http://127.0.0.1:{port}/v1"

    yield start
    for child in children:
        child.terminate()
        child.wait()


def test_a_served_artifact_answers_as_it_does_here(tiny_sweep, chatty, serve, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "any word")
    run, cache, packed = tmp_path / "run", tmp_path / "cache", tmp_path / "packed"
    methods = [{"name": "none"}, {"name": "rtn", "granularity": "group:32"}]
    asked = {"models": [str(chatty)], "method": methods, "task": [ANSWERS], "languages": ["en"], "dtype": "float32"}
    assert tiny_sweep(**asked) == ExitCode.OK
    record = next(record for record in Run.open(run).records() if record.cell.variant.method == "rtn")
    artifact = next(path.parent for path in (cache / "artifacts").glob("*/manifest.json") if "rtn" in path.read_text())
    export = ["export", artifact, "--out", packed, "--format", "compressed-tensors", "--dtype", "float32"]
    assert main([str(word) for word in export]) == ExitCode.OK
    url = serve(packed)
    served = ["served", run, "--variant", "rtn", "--base-url", url, "--model", packed, "--timeout", PATIENCE]
    code = main([str(word) for word in served])
    with capsys.disabled():
        print(capsys.readouterr().out)
    assert code == ExitCode.OK
    opened = Run.open(tmp_path / "run-served")
    (found,) = opened.records()
    assert found.artifact == record.artifact
    assert found.notes["served"] == f"{packed} at {url}"
    theirs, ours = opened.conversations(found.cell.key), Run.open(run).conversations(record.cell.key)
    assert [(one.turns[0], one.stops[0], one.tokens[0]) for one in theirs] == [
        (one.turns[0], one.stops[0], one.tokens[0]) for one in ours
    ]
    assert re.match(r"[3-6] of \d greedy answers are those written here, word for word", found.notes["agreement"])
