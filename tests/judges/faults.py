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


class Patient(ThreadingHTTPServer):
    """A server that refuses nobody for coming when others do: socketserver lets five wait."""

    daemon_threads = True
    request_queue_size = 128


class FaultServer:
    """``with FaultServer(rate=0.3) as server``: serves at ``server.url`` and counts what it saw."""

    def __init__(self, rate: float = 0.0, seed: int = 0, delay: float = 0.0, faults=FAULTS, message=None) -> None:
        self.rate, self.seed, self.delay, self.faults = rate, seed, delay, faults
        self.message = message
        """A function from the user message to the judge's message; left out, ``letter_of`` in odd places."""
        self.shutdown_date: str | None = None
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict] = {}
        self.looks = 1
        """So often a batch is looked at before it is completed."""
        self.end = "completed"
        """How a batch ends; ``expired``: with half of its requests answered, ``failed``: refused."""
        self.cut_after = 0
        """So many calls about batches are answered by a cut connection, after they were done."""
        self.requests: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        """Digest of a request -> whole replies sent."""
        self.injected: Counter[str] = Counter()
        self.bodies: list[dict] = []
        self.retried_at: list[tuple[float, float]] = []
        self.lock = threading.Lock()
        self.server = Patient(("127.0.0.1", 0), self._handler())
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

    def manage(self, path: str, raw: bytes) -> bytes:
        """A call about files and batches, as OpenAI's reference describes them."""
        place, _, name = path.partition("?")[0].removeprefix("/v1/").partition("/")
        with self.lock:
            if place == "files" and raw:
                name = f"file-{len(self.files)}"
                part = raw[raw.index(b'name="file"') :]
                self.files[name] = part[part.index(b"\r\n\r\n") + 4 : part.index(b"\r\n--")]
                return json.dumps({"id": name, "object": "file", "purpose": "batch"}).encode()
            if place == "files":
                return self.files[name.removesuffix("/content")]
            if raw:
                asked = json.loads(raw)
                name = f"batch-{len(self.batches)}"
                self.batches[name] = {"id": name, "object": "batch", "status": "in_progress", "looks": 0, **asked}
                return json.dumps(self.batches[name]).encode()
            if not name:
                return json.dumps({"object": "list", "data": list(self.batches.values()), "has_more": False}).encode()
            batch = self.batches[name]
            batch["looks"] += 1
            if batch["looks"] > self.looks and batch["status"] == "in_progress":
                self.complete(batch)
            return json.dumps(batch).encode()

    def complete(self, batch: dict) -> None:
        """Answer a batch's requests, in another order; some fail, as ``rate`` says."""
        batch["status"] = self.end
        if self.end == "failed":
            batch["errors"] = {"object": "list", "data": [{"code": "x", "message": "This model knows no batches."}]}
            return
        asked = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()][::-1]
        answered, failed = [], []
        for one in asked[: len(asked) // 2 if self.end == "expired" else None]:
            digest = hashlib.sha256(json.dumps(one["body"]).encode()).hexdigest()
            self.requests[digest] += 1
            if self.fault_of(digest, self.requests[digest]):
                body = {"error": {"message": "the server had an error"}}
                failed.append({"custom_id": one["custom_id"], "response": {"status_code": 500, "body": body}})
            else:
                self.paid[digest] += 1
                body = self.reply_of(one["body"])
                answered.append({"custom_id": one["custom_id"], "response": {"status_code": 200, "body": body}})
        for kind, lines in (("output_file_id", answered), ("error_file_id", failed)):
            if lines:
                batch[kind] = f"file-{len(self.files)}"
                told = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
                self.files[batch[kind]] = told.encode()
        batch["request_counts"] = {"total": len(asked), "completed": len(answered), "failed": len(failed)}

    def _handler(server):  # the handler below is the one that has a self
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                """What is known of the model, of batches and of files."""
                if self.path.startswith(("/v1/batches", "/v1/files")):
                    self.manage(server.manage(self.path, b""))
                    return
                known = {"id": "judge-1", "object": "model", "shutdown_date": server.shutdown_date}
                self.send(200, json.dumps({k: v for k, v in known.items() if v is not None}).encode())

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path in ("/v1/batches", "/v1/files"):
                    self.manage(server.manage(self.path, raw))
                    return
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

            def manage(self, content: bytes) -> None:
                with server.lock:
                    server.cut_after -= 1
                    cut = server.cut_after >= 0
                with suppress(BrokenPipeError, ConnectionResetError):
                    self.send(200, content[: len(content) // 2 if cut else None], {"Content-Length": str(len(content))})
                self.close_connection = cut

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
