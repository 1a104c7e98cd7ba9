"""What judging costs on our side: throughput before a server that takes 50 ms, and memory over many duels.

    python benchmarks/judging.py [--quick]

Throughput: 16 requests at a time, verdicts kept on disk as in a run; the ideal is 16 / 0.05 s = 320 verdicts a second.
The server is another process and does nothing but wait. What it and the machine bear is measured with bare sockets:
the same bytes sent, the reply not looked at, by 48 at a time (ideal 960) and by 16. Memory: 20,000 duels (--quick:
2,000) in ten cells, from stored answers to estimates; a row tells the process's memory after each fifth. The same
again from the file, asking nobody. Client seconds are processor time of this process: on a machine whose cores are
busy, wall time says little. Time that a virtual machine was ready to compute and its host let it wait is told (Linux).
"""

from __future__ import annotations

import argparse
import asyncio
import io
import math
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from harness.judging import Contest, judge_contests
from harness.pairwise import Bout
from harness.progress import Reporter
from judges.api import ApiJudge, judge_all
from judges.duel import Duel, games
from judges.endpoint import Client, Endpoint, request_content
from judges.judgements import Judgements
from judges.prompts import load_prompts
from judges.questions import Question, load_questions
from results.cell import Cell, Variant
from results.conversation import Conversation

CONCURRENCY, DELAY = 16, 0.05
SERVER = """
    import asyncio, json, sys

    CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "A is better. [[A]]"}}
    REPLY = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE],
             "usage": {"prompt_tokens": 500, "completion_tokens": 9, "total_tokens": 509}}
    BODY = json.dumps(REPLY).encode()
    HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(BODY)

    async def serve(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\\r\\n\\r\\n")
                fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\\r\\n")[1:-2])
                await reader.readexactly(int(fields[b"content-length"]))
                await asyncio.sleep(float(sys.argv[1]))
                writer.write(HEAD + BODY)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(main())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    share = 10 if parser.parse_args().quick else 1
    os.environ["BENCHMARK_KEY"] = "none"
    with tempfile.TemporaryDirectory() as place:
        throughput(3_200 // share, Path(place) / "throughput.jsonl")
        memory(20_000 // share, Path(place) / "memory.jsonl")


def throughput(count: int, path: Path) -> None:
    with serving(DELAY) as url, Judgements(path) as kept:
        judge = judge_at(url, kept)
        list(judge_all(judge, duels(4 * CONCURRENCY, "warm"), 2 * CONCURRENCY))  # connections and imports
        request = request_content(judge.request(next(duels(2, "bare"))).body)
        tell_bare(url, request)
        began, worked, stolen = time.perf_counter(), time.process_time(), stolen_seconds()
        judged = sum(1 for _ in judge_all(judge, duels(count, "timed"), 2 * CONCURRENCY))
        wall, work = time.perf_counter() - began, time.process_time() - worked
        stolen = (stolen_seconds() - stolen) / wall / (os.cpu_count() or 1)
    ideal = CONCURRENCY / DELAY
    print(
        f"{judged} verdicts in {wall:.1f} s: {judged / wall:.0f} a second, {judged / wall / ideal:.0%} of {ideal:.0f}; "
        f"{1e3 * work / judged:.2f} ms of the client's processor each; {stolen:.0%} of the processors kept by the host",
        flush=True,
    )


def stolen_seconds() -> float:
    """Seconds that this machine's processors, together, waited for the host since it started; NaN if nobody counts."""
    try:
        of_all = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    except FileNotFoundError:
        return math.nan
    return int(of_all[8]) / os.sysconf("SC_CLK_TCK")


def tell_bare(url: str, request: bytes) -> None:
    rates = [asyncio.run(bare(url, request, some)) for some in (3 * CONCURRENCY, CONCURRENCY)]
    print(f"bare sockets: {rates[0]:.0f} a second by {3 * CONCURRENCY}, {rates[1]:.0f} by {CONCURRENCY}", flush=True)


async def bare(url: str, request: bytes, connections: int, each: int = 40) -> float:
    """Replies a second to so many connections that ask again as soon as they are answered."""
    place = urlsplit(url)
    head = (
        f"POST {place.path}/chat/completions HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: {len(request)}\r\n\r\n"
    )

    async def ask() -> None:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        for _ in range(each):
            writer.write(head.encode() + request)
            told = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(told.lower().partition(b"content-length: ")[2].split()[0]))
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(connections)))
    return connections * each / (time.perf_counter() - began)


def memory(count: int, path: Path) -> None:
    with serving(0.0) as url, Judgements(path) as kept:
        for again in ("asked", "kept"):
            contests = [contest(judge_at(url, kept), number, count // 40) for number in range(10)]
            began, before = time.perf_counter(), resident()
            told = []
            for number, _ in enumerate(judge_contests(contests, CONCURRENCY, Reporter(io.StringIO())), start=1):
                if number % 2 == 0:
                    told.append(f"{resident() - before:+.0f}")
            seconds = time.perf_counter() - began
            print(f"{len(kept)} duels {again} in {seconds:.0f} s: from {before:.0f} MB {' '.join(told)} MB", flush=True)


def duels(count: int, name: str) -> Iterator[Duel]:
    questions = load_questions("bundled", "ko")
    for number in range(count // 2):
        yield from games(questions[number % 24], 1, (f"{name} {number} " * 20,), ("다른 답입니다. " * 20,))


def contest(judge: ApiJudge, number: int, size: int) -> Contest:
    """One cell of ``size`` questions with two turns in both orders."""
    bundled = load_questions("bundled", "ko")
    questions = tuple(replace(bundled[n % 24], id=f"{number}-{n}") for n in range(size))
    sides = [{question.id: told(side, question) for question in questions} for side in ("우리", "그들")]
    cell = Cell(Variant("m", "w", "rtn"), "pairwise", 1, "ko", str(number))
    return Contest(cell, Bout(questions, sides[0], sides[1]), (judge,), {})


def told(side: str, question: Question) -> Conversation:
    answers = tuple(f"{side} {question.id} {turn} 이것은 답변입니다. " * 20 for turn in (1, 2))
    return Conversation(question.id, answers, ("end", "end"), (200, 200))


def judge_at(url: str, kept: Judgements) -> ApiJudge:
    return ApiJudge(Client(Endpoint("m", url, "BENCHMARK_KEY"), concurrency=CONCURRENCY), load_prompts("ko"), kept)


def resident() -> float:
    """Memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class serving:
    """``with serving(delay) as url``: a server in a process of its own."""

    def __init__(self, delay: float) -> None:
        call = [sys.executable, "-c", textwrap.dedent(SERVER), str(delay)]
        self.child = subprocess.Popen(call, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> str:
        assert self.child.stdout is not None
        return f"http://127.0.0.1:{int(self.child.stdout.readline())}/v1"

    def __exit__(self, *exception: object) -> None:
        self.child.kill()
        self.child.wait()


if __name__ == "__main__":
    main()
