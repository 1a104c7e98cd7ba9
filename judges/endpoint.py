"""Chat completions of any OpenAI-compatible server: retries, patience, a budget, and replies that are checked.

The ``openai`` client sends; retrying is ours, so that Retry-After is honoured by all threads at once and every try
counts against the budget. A reply is taken apart here and nothing in it is believed: a body that is no JSON, has no
choices or no message is a failed try. The key comes from an environment variable and is cut out of every message.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from judges.posting import Poster
from judges.problems import JudgingError
from judges.prompts import Prompt
from judges.reply import Reply, count_of, read_reply, text_of
from judges.spending import Budget, Spending

T = TypeVar("T")
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""HTTP statuses that may pass if one waits. Any other error is final for its call."""
REFUSED = frozenset({401, 402, 403, 404, 405})
"""Statuses that say that nothing will work: the run stops."""
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "judgement",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"reasoning": {"type": "string"}, "verdict": {"type": "string", "enum": ["A", "B", "tie"]}},
            "required": ["reasoning", "verdict"],
            "additionalProperties": False,
        },
    },
}
"""The verdict comes last, so that it follows from the reasoning."""


@dataclass(frozen=True)
class Decoding:
    """How a judge generates; None leaves a field out of the request."""

    temperature: float | None = 0.0
    max_tokens: int | None = 1024
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the request that some servers want, such as max_completion_tokens."""

    def body(self) -> dict[str, Any]:
        fields = {"temperature": self.temperature, "max_tokens": self.max_tokens, "seed": self.seed}
        return {name: value for name, value in fields.items() if value is not None} | dict(self.extra)


@dataclass(frozen=True)
class Endpoint:
    """Where a judge is reached and how patiently."""

    model: str
    base_url: str = "https://api.openai.com/v1"
    key_variable: str = "OPENAI_API_KEY"
    """The environment variable that holds the key."""
    decoding: Decoding = Decoding()
    timeout_seconds: float = 120.0
    tries: int = 6
    first_wait_seconds: float = 1.0
    """Before the second try; doubled each time, with a random part."""
    longest_wait_seconds: float = 60.0

    @cached_property
    def address(self) -> str:
        """The base URL without user, password and query: what may be recorded."""
        parts = urlsplit(self.base_url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))

    def body(self, prompt: Prompt, structured: bool = False) -> dict[str, Any]:
        """The request's JSON."""
        messages = [
            {"role": role, "content": text.encode("utf-8", "replace").decode()}  # a lone surrogate cannot be sent
            for role, text in (("system", prompt.system), ("user", prompt.user))
        ]
        form = {"response_format": SCHEMA} if structured else {}
        return {"model": self.model, "messages": messages, **self.decoding.body(), **form}


class CallFailed(Exception):
    """One call brought no reply; the message is the reason. Other calls may fare better."""


class _TryFailed(Exception):
    """One try brought no reply. ``wait`` is what the server asked for, in seconds; ``billed``: it may be charged."""

    def __init__(self, reason: str, wait: float | None = None, billed: bool = False) -> None:
        super().__init__(reason)
        self.wait = wait
        self.billed = billed


class Client:
    """Sends requests to one endpoint within a budget. Safe to use from several threads."""

    def __init__(self, endpoint: Endpoint, spending: Spending | None = None, concurrency: int | None = None) -> None:
        """``concurrency``: requests in flight, however many threads ask; None: as many as threads.

        Raises JudgingError if the key's variable is not set.
        """
        self.endpoint = endpoint
        self.spending = spending or Spending(Budget())
        self._key = os.environ.get(endpoint.key_variable, "")
        if not self._key:
            raise JudgingError(
                f"The judge at {endpoint.address} needs a key, and the environment variable {endpoint.key_variable} is "
                f"not set. Set it (any word does for a server that asks for none): export {endpoint.key_variable}=..."
            )
        self._answered = False
        self._concurrency = concurrency
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._made: Poster | None = None

    def complete(self, body: dict[str, Any]) -> Reply:
        """One reply. Raises CallFailed with the reason, BudgetReached, or JudgingError where no call can succeed."""

        def send() -> Reply:
            return read_reply(self._poster.post("/chat/completions", content))

        content = request_content(body)
        bound = self.spending.bound(len(content), self.endpoint.decoding.max_tokens)
        return self._insist(send, self.spending, bound)

    def manage(self, send: Callable[[Any], T]) -> T:
        """What ``send`` makes of the ``openai`` client by a call that costs nothing, such as a look at a batch.

        Raises as ``complete``. It is tried again after a failure that may hide a success.
        """
        return self._insist(lambda: send(self._openai), Spending(Budget()), 0.0)

    def _insist(self, send: Callable[[], T], spending: Spending, bound: float) -> T:
        """What the first try brings that fails not; every try counts against the budget."""
        reasons: list[str] = []
        for number in range(self.endpoint.tries):
            self._wait_for_turn()
            spending.reserve(bound)
            try:
                found = self._try(send)
            except _TryFailed as failed:
                spending.settle(bound, bound if failed.billed else 0.0)
                reasons.append(str(failed))
                if number + 1 < self.endpoint.tries:
                    self._back_off(number, failed)
            except BaseException:
                spending.settle(bound, 0.0)
                raise
            else:
                spending.settle(bound, self.cost(found, bound) if isinstance(found, Reply) else 0.0)
                self._answered = True
                return found
        self._give_up_if_unreachable(reasons)
        raise CallFailed(f"{len(reasons)} tries failed; the last: {reasons[-1]}")

    def shutdown_date(self) -> str | None:
        """When the endpoint says that it will stop serving this model: as it writes it, of a timestamp the UTC day.

        None where it does not say.
        """
        try:
            found = json.loads(
                self._openai.get(f"/models/{self.endpoint.model}", cast_to=bytes, options={"timeout": 10.0})
            )
        except Exception:  # few endpoints know this, and nothing depends on it
            return None
        date = found.get("shutdown_date") if isinstance(found, dict) else None
        if (seconds := count_of(date)) is not None:
            return datetime.fromtimestamp(seconds, UTC).date().isoformat()
        return text_of(date)

    def _try(self, send: Callable[[], T]) -> T:
        import openai

        try:
            return send()
        except openai.APIConnectionError as error:
            cause = _first_cause(error)
            told = f"the connection failed ({self._clean(cause)})"
            if isinstance(error, openai.APITimeoutError) and not _is_broken(cause):
                told = f"no answer within {self.endpoint.timeout_seconds:g} seconds"
            raise _TryFailed(told, billed=True) from None
        except openai.APIStatusError as error:
            raise self._status_error(error) from None
        except ValueError as error:
            raise _TryFailed(str(error), billed=True) from None

    def _status_error(self, error: Any) -> Exception:
        status, said = error.status_code, self._clean(error)
        if error.code == "insufficient_quota":  # sent as 429, but no waiting mends it
            return JudgingError(f"{self.endpoint.address}: the account's quota is spent (HTTP {status}): {said}.")
        if status in RETRIED:
            return _TryFailed(f"HTTP {status}: {said}", wait=retry_after(error.response.headers))
        if status in REFUSED:
            mend = {404: f"Is '{self.endpoint.model}' the name of a model there, and is the base URL right?"}
            key = f"Is the key in {self.endpoint.key_variable} the right one?"
            return JudgingError(f"{self.endpoint.address} refused (HTTP {status}): {said}. {mend.get(status, key)}")
        return CallFailed(f"HTTP {status}: {said}")

    def _clean(self, error: object) -> str:
        """An error's text for a person and a record: one line, short, and without the key."""
        return " ".join(str(error).replace(self._key, "(key)").split())[:300] or type(error).__name__

    def _back_off(self, number: int, failed: _TryFailed) -> None:
        """Set the earliest time of the next try: for all threads if the server asked for it, else for this one."""
        longest = self.endpoint.longest_wait_seconds
        if failed.wait is not None:
            if failed.wait > longest:
                raise CallFailed(f"{failed}; it asks to wait {failed.wait:g} seconds, and the limit is {longest:g}")
            with self._lock:
                self._not_before = max(self._not_before, time.monotonic() + failed.wait)
        else:
            time.sleep(min(longest, self.endpoint.first_wait_seconds * 2**number) * random.uniform(0.5, 1.0))

    def _wait_for_turn(self) -> None:
        while (left := self._not_before - time.monotonic()) > 0:
            time.sleep(left)

    def _give_up_if_unreachable(self, reasons: list[str]) -> None:
        if not self._answered and all(reason.startswith("the connection failed") for reason in reasons):
            raise JudgingError(
                f"{self.endpoint.address} cannot be reached: {reasons[-1]}. "
                "Is the server running, and is the base URL right?"
            )

    def cost(self, reply: Reply, bound: float) -> float:
        """Dollars by the reported usage; the bound where the server reports none."""
        if self.spending.prices is None or reply.input_tokens is None or reply.output_tokens is None:
            return bound
        return self.spending.prices.cost(reply.input_tokens, reply.output_tokens)

    @property
    def _poster(self) -> Poster:
        with self._lock:  # threads come here together, and one event loop is enough
            if self._made is None:
                self._made = Poster(self.endpoint.base_url, self._key, self.endpoint.timeout_seconds, self._concurrency)
            return self._made

    @cached_property
    def _openai(self) -> Any:
        import openai

        return openai.OpenAI(
            api_key=self._key,
            base_url=self.endpoint.base_url,
            timeout=self.endpoint.timeout_seconds,
            max_retries=0,
        )


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _is_broken(cause: BaseException) -> bool:
    """Whether a connection was refused or lost, which openai's asynchronous client calls a timeout too."""
    from aiohttp import ClientConnectionError

    return isinstance(cause, OSError | ClientConnectionError) and not isinstance(cause, TimeoutError)


def request_content(body: Mapping[str, Any]) -> bytes:
    """A request's JSON as it is sent: more bytes than its messages have tokens."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by the Retry-After header, a number or a date; None if there is none that can be read.

    >>> retry_after({"retry-after": "2"}), retry_after({"retry-after": "soon"})
    (2.0, None)
    """
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
