"""An OpenAI-compatible server on loopback that answers, and now and then does not, in the ways that real ones fail.

What happens to a request depends on its content, the number of the try and the seed only, so that runs can be compared.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = (
    "429 after",
    "429",
    "500",
    "503",
    "slow",
    "cut",
    "truncated",
    "schema",
    "no choices",
    "no message",
    "no utf-8",
)
SLOW_SECONDS = 3.5
"""Longer than the tests' clients wait."""
ODD = (
    "I must end with [[A]], [[B]] or [[C]].\nBoth try. {verdict}",
    "First I leaned to [[{other}]], then I saw the mistake.\n\n{verdict}\n\nThat is my final word.",
    "두 답변을 비교하면 — 🙂 — 한쪽이 더 정확합니다.\n최종 판정: **{verdict}**",
    '{{"note": "[[{other}]]"}} is quoted; so I say {verdict}',
)


def letter_of(user: str) -> str:
    """The verdict this server gives of a prompt: by its content, otherwise arbitrary."""
    return "ABC"[hashlib.sha256(user.encode("utf-8", "backslashreplace")).digest()[0] % 3]


class FaultServer:
    """``with FaultServer(rate=0.3) as server``: serves at ``server.url`` and counts what it saw."""

    def __init__(self, rate: float = 0.0, seed: int = 0, delay: float = 0.0, faults=FAULTS, message=None) -> None:
        self.rate, self.seed, self.delay, self.faults = rate, seed, delay, faults
        self.message = message
        """A function from the user message to the judge's message; left out, ``letter_of`` in odd places."""
        self.shutdown_date: str | None = None
        self.requests: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        """Digest of a request -> whole replies sent."""
        self.injected: Counter[str] = Counter()
        self.bodies: list[dict] = []
        self.retried_at: list[tuple[float, float]] = []
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def __enter__(self) -> FaultServer:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def fault_of(self, digest: str, number: int) -> str | None:
        draw = hashlib.sha256(f"{self.seed} {digest} {number}".encode()).digest()
        if int.from_bytes(draw[:4], "big") / 2**32 >= self.rate:
            return None
        return self.faults[int.from_bytes(draw[4:8], "big") % len(self.faults)]

    def reply_of(self, body: dict) -> dict:
        user = body["messages"][-1]["content"]
        if self.message is not None:
            text = self.message(user)
        else:
            letter = letter_of(user)
            odd = ODD[hashlib.sha256(user.encode("utf-8", "backslashreplace")).digest()[1] % len(ODD)]
            text = odd.format(verdict=f"[[{letter}]]", other="ABC"[("ABC".index(letter) + 1) % 3])
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "judge-2026-01-01",
            "system_fingerprint": "fp_1",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
        }

    def _handler(server):  # the handler below is the one that has a self
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                """What is known of the model."""
                known = {"id": "judge-1", "object": "model", "shutdown_date": server.shutdown_date}
                self.send(200, json.dumps({k: v for k, v in known.items() if v is not None}).encode())

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                digest = hashlib.sha256(raw).hexdigest()
                with server.lock:
                    number = server.requests[digest]
                    server.requests[digest] += 1
                    server.bodies.append({"authorization": self.headers.get("Authorization"), **json.loads(raw)})
                fault = server.fault_of(digest, number)
                with server.lock:
                    server.injected[fault or "none"] += 1
                time.sleep(server.delay)
                with suppress(BrokenPipeError, ConnectionResetError):
                    self.answer(fault, digest, json.loads(raw))

            def answer(self, fault: str | None, digest: str, body: dict) -> None:
                reply = server.reply_of(body)
                content = json.dumps(reply, ensure_ascii=False).encode()
                if fault in ("429 after", "429", "500", "503"):
                    headers = {"Retry-After": "0.05"} if fault == "429 after" else {}
                    self.send(int(fault[:3]), b'{"error": {"message": "try again later"}}', headers)
                elif fault == "slow":
                    time.sleep(SLOW_SECONDS)
                    self.send(200, content)
                elif fault == "cut":
                    self.send(200, content[: len(content) // 2], {"Content-Length": str(len(content))})
                    self.close_connection = True
                elif fault == "truncated":
                    self.send(200, content[: len(content) // 2])
                elif fault == "schema":
                    self.send(200, b'{"result": "[[A]]"}')
                elif fault == "no choices":
                    self.send(200, json.dumps({**reply, "choices": []}).encode())
                elif fault == "no message":
                    self.send(200, json.dumps({**reply, "choices": [{"message": {"content": ["[[A]]"]}}]}).encode())
                elif fault == "no utf-8":
                    self.send(200, content.replace(b"assistant", b"\xff\xfe"))
                else:
                    with server.lock:
                        server.paid[digest] += 1
                    self.send_chunked(content)

            def send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                named = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
                for name, value in named.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def send_chunked(self, content: bytes) -> None:
                """In chunks of 101 bytes, so that characters of several bytes are cut in two."""
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                pieces = [content[start : start + 101] for start in range(0, len(content), 101)]
                self.wfile.write(b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n")

        return Handler
