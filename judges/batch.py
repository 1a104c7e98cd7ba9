"""Many requests at once by an endpoint's Batch API, at its lower price and within a day: files in, files out.

    <folder>/<digest>.json    one for each batch that is not collected yet: its id, and what was asked in it

That file is there before the batch is made, and the batch carries the digest of its requests. Killed anywhere, the next
run takes up the batches that it finds and makes none of them twice. What a batch brings is kept as any other reply.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from judges.duel import content_key
from judges.endpoint import CallFailed, Client, request_content
from judges.judgements import Judgements
from judges.problems import BudgetReached, JudgingError
from judges.reply import reply_of

MOST_REQUESTS, MOST_BYTES = 50_000, 100_000_000
"""Of one batch; OpenAI takes 50,000 requests and 200 MB."""
WINDOW = "24h"
MARK = "langgap"
"""Under which a batch carries its digest."""
FINISHED = ("completed", "expired", "cancelled", "failed")
Told = Callable[[str, int, int], None]
Settle = Callable[[float, float], None]
"""(set aside, spent): what a request of a batch cost; nothing was set aside in this run for one of an earlier run."""


class Asked(NamedTuple):
    """One request of a batch."""

    key: str
    """Under which the reply is kept: also its id in the batch."""
    body: Mapping[str, Any]
    about: Mapping[str, Any]
    """What is kept beside the reply."""


@dataclass
class Batches:
    """The batches of one judge."""

    client: Client
    kept: Judgements
    folder: Path
    seconds: float = 30.0
    """Between two looks at a batch."""
    progress: Told = lambda what, done, total: None
    lost: dict[str, str] = field(default_factory=dict)
    """Key -> why a batch brought no reply."""
    stopped: BudgetReached | None = None
    """Why some requests are in no batch."""

    def ask(self, asked: Iterable[Asked]) -> None:
        """Wait until all has been answered that is not kept yet, batches of an earlier run first.

        Raises JudgingError where the endpoint refuses, or cannot be reached for long.
        """
        try:
            self._ask(asked)
        except CallFailed as failed:
            raise JudgingError(
                f"The batches at {self.client.endpoint.address} are out of reach: {failed}. Nothing is lost: the same "
                "command takes them up where they are."
            ) from None

    def _ask(self, asked: Iterable[Asked]) -> None:
        for path in sorted(self.folder.glob("*.json")):
            self._finish(path, lambda bound, cost: self.client.spending.settle(0.0, cost))
        new = {one.key: one for one in asked if self.kept.get(one.key) is None and one.key not in self.lost}
        made = [self._note(some) for some in _divided(self._paid(new.values()))]
        for path, bodies in made:
            self._create(path, bodies)
        for path, _ in made:
            self._finish(path, self.client.spending.settle)

    def _paid(self, asked: Iterable[Asked]) -> Iterator[Asked]:
        """As many as the budget bears."""
        for one in asked:
            try:
                self.client.spending.reserve(self._bound(one.body))
            except BudgetReached as reached:
                self.stopped = reached
                return
            yield one

    def _note(self, some: list[Asked]) -> tuple[Path, bytes]:
        """Write down what is going to be asked: (file, requests)."""
        digest = content_key([*(one.key for one in some), time.time_ns()])  # asked again, it is another batch
        waiting = {one.key: {"about": dict(one.about), "bound": self._bound(one.body)} for one in some}
        path = self.folder / f"{digest}.json"
        self._write(path, {"batch": None, "asked": waiting})
        lines = (
            json.dumps(
                {"custom_id": one.key, "method": "POST", "url": "/v1/chat/completions", "body": one.body},
                ensure_ascii=False,
            )
            for one in some
        )
        return path, "\n".join(lines).encode("utf-8", "backslashreplace") + b"\n"

    def _create(self, path: Path, requests: bytes) -> None:
        """Make the batch. A try that seemed to fail may have made it: each one looks first."""

        def send(api: Any) -> str:
            if made := _find(api, path.stem):
                return made
            file = api.files.create(file=(f"{path.stem}.jsonl", requests), purpose="batch")
            endpoint = "/v1/chat/completions"
            return str(
                api.batches.create(
                    input_file_id=file.id, endpoint=endpoint, completion_window=WINDOW, metadata={MARK: path.stem}
                ).id
            )

        self._write(path, {**_read(path), "batch": self.client.manage(send)})

    def _finish(self, path: Path, settle: Settle) -> None:
        """Wait for the batch of a file and keep what it brings; then the file goes."""
        noted = _read(path)
        name = noted["batch"] or self.client.manage(lambda api: _find(api, path.stem))
        if name is None:  # killed before it was made
            path.unlink()
            return
        batch = self._waited_for(name, len(noted["asked"]))
        if batch.status == "failed":
            path.unlink()
            said = "; ".join(str(error.message).rstrip(".") for error in (batch.errors and batch.errors.data) or [])
            raise JudgingError(
                f"{self.client.endpoint.address} refused a batch of {len(noted['asked'])} requests: "
                f"{said or 'it gave no reason'}. Leave out batch = true to judge call by call."
            )
        for file in (batch.output_file_id, batch.error_file_id):
            if file:
                self._collect(noted["asked"], self._content(file), settle)
        for key, one in noted["asked"].items():
            if self.kept.get(key) is None:
                settle(one["bound"], 0.0)
                self.lost.setdefault(key, f"the batch ended ({batch.status}) without a reply to it")
        path.unlink()

    def _waited_for(self, name: str, count: int) -> Any:
        while True:
            batch = self.client.manage(lambda api: api.batches.retrieve(name))
            done = batch.request_counts.completed + batch.request_counts.failed if batch.request_counts else 0
            self.progress(f"batch {batch.status}", done, count)
            if batch.status in FINISHED:
                return batch
            time.sleep(self.seconds)

    def _content(self, file: str) -> bytes:
        return bytes(self.client.manage(lambda api: api.files.content(file).content))

    def _collect(self, asked: Mapping[str, Any], content: bytes, settle: Settle) -> None:
        """Keep the replies of a file of results; note why others lack."""
        for line in content.splitlines():
            try:
                result = json.loads(line)
                key = result["custom_id"]
            except (ValueError, TypeError, KeyError):
                continue  # whose it was is then told as lacking
            if key not in asked or self.kept.get(key) is not None:
                continue
            try:
                reply = reply_of(_body(result))
            except ValueError as error:
                self.lost[key] = str(error)
                continue
            bound = asked[key]["bound"]
            settle(bound, self.client.cost(reply, bound))
            self.kept.add(key, {**asked[key]["about"], "reply": reply.to_json()})

    def _bound(self, body: Mapping[str, Any]) -> float:
        return self.client.spending.bound(len(request_content(body)), self.client.endpoint.decoding.max_tokens)

    def _write(self, path: Path, value: Any) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            half = path.with_suffix(".half")
            with half.open("w", encoding="utf-8") as file:
                json.dump(value, file)
                file.flush()
                os.fsync(file.fileno())
            half.replace(path)
        except OSError as error:
            raise JudgingError(f"{path} cannot be written: {error.strerror}; no batch was made.") from error


def _read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def _find(api: Any, digest: str) -> str | None:
    """The id of the batch that carries a digest, if it was made."""
    return next((str(one.id) for one in api.batches.list(limit=100) if (one.metadata or {}).get(MARK) == digest), None)


def _body(result: Mapping[str, Any]) -> Any:
    """The chat completion of one result. Raises ValueError with the reason if it has none."""
    response, error = result.get("response") or {}, result.get("error") or {}
    if error:
        raise ValueError(f"in the batch: {error.get('message') or error.get('code')}")
    if response.get("status_code") != 200:
        said = (response.get("body") or {}).get("error") or {}
        raise ValueError(f"in the batch: HTTP {response.get('status_code')}: {said.get('message', 'no reason given')}")
    return response.get("body")


def _divided(asked: Iterable[Asked]) -> Iterator[list[Asked]]:
    """In parts that an endpoint takes."""
    some: list[Asked] = []
    size = 0
    for one in asked:
        more = len(request_content(one.body)) + 200
        if some and (len(some) == MOST_REQUESTS or size + more > MOST_BYTES):
            yield some
            some, size = [], 0
        some.append(one)
        size += more
    if some:
        yield some
