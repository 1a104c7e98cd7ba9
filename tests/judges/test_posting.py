"""Many threads post through one event loop, which ends without a word when the program does."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from faults import FaultServer

from judges.endpoint import CallFailed, Client, Endpoint, request_content
from judges.posting import Poster
from judges.prompts import Prompt

ALONE = """
import os, sys
sys.path.insert(0, {faults!r})
from faults import FaultServer
from judges.endpoint import Client, Endpoint
from judges.prompts import Prompt
os.environ["TEST_KEY"] = "k"
with FaultServer() as server:
    some = Client(Endpoint("m", server.url, "TEST_KEY"))
    print(some.complete(some.endpoint.body(Prompt("a", "b"))).message != "")
"""


def content(server: FaultServer, number: int) -> bytes:
    return request_content(Endpoint("m", server.url).body(Prompt("Judge.", f"질문 {number}")))


def test_replies_reach_the_threads_that_asked() -> None:
    with FaultServer(message=lambda user: f"<{user}>", delay=0.02) as server:
        poster = Poster(server.url, "k", 5.0)
        with ThreadPoolExecutor(16) as pool:
            replies = list(pool.map(lambda i: poster.post("/chat/completions", content(server, i)), range(64)))
    assert [f"<질문 {i}>" in reply.decode() for i, reply in enumerate(replies)] == [True] * 64


def test_who_waits_for_a_turn_is_not_timed_out() -> None:
    with FaultServer(delay=0.3) as server:
        poster = Poster(server.url, "k", 0.8, concurrency=1)
        with ThreadPoolExecutor(5) as pool:
            replies = list(pool.map(lambda i: poster.post("/chat/completions", content(server, i)), range(5)))
    assert len(replies) == 5


def test_without_a_limit_all_who_ask_are_served_at_once() -> None:
    together = threading.Barrier(120)  # aiohttp's own limit is 100 connections
    with FaultServer(message=lambda user: str(together.wait(20))) as server:
        poster = Poster(server.url, "k", 20.0)
        with ThreadPoolExecutor(120) as pool:
            assert (
                len(list(pool.map(lambda i: poster.post("/chat/completions", content(server, i)), range(120)))) == 120
            )


def test_the_loop_ends_with_its_poster() -> None:
    with FaultServer() as server:
        poster = Poster(server.url, "k", 5.0)
        poster.post("/chat/completions", content(server, 0))
        thread = poster._thread
        assert thread.is_alive()
        del poster
        thread.join(5)
        assert not thread.is_alive()


def test_an_error_is_the_clients_own() -> None:
    with FaultServer(rate=1.0, faults=("500",)) as server, pytest.raises(openai.InternalServerError):
        Poster(server.url, "k", 5.0).post("/chat/completions", content(server, 0))


def test_a_program_that_asked_ends_without_a_word() -> None:
    script = ALONE.format(faults=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-X", "dev", "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_a_slow_look_at_a_batch_is_told_as_a_slow_call_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "k")
    with FaultServer() as server:
        patient = threading.Event()
        server.server.RequestHandlerClass.do_GET = lambda self: patient.wait(2)
        some = Client(Endpoint("m", server.url, "TEST_KEY", timeout_seconds=0.1, tries=1))
        with pytest.raises(CallFailed, match=r"no answer within 0\.1 seconds"):
            some.manage(lambda api: api.batches.retrieve("b"))
        patient.set()
