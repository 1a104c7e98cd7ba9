"""A judge behind an endpoint. Every reply is kept by the content of its request, so none is paid for twice."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from judges import parsing
from judges.batch import Asked, Batches
from judges.duel import Duel, Judge, Judgement, Preference, content_key
from judges.endpoint import CallFailed, Client, request_content
from judges.grading import Grade, grade_of
from judges.judgements import Judgements
from judges.prompts import PromptSet
from judges.questions import Question


@dataclass(frozen=True)
class Forecast:
    """What judging would take, before retries."""

    calls: int
    """Requests that differ and are not kept yet."""
    kept: int
    """Duels that are answered from the file."""
    dollars: float | None
    """The most the calls can cost; None without prices."""


@dataclass(frozen=True)
class ApiJudge:
    """Judges by chat completions. ``judge`` may be called from several threads."""

    client: Client
    prompts: PromptSet
    kept: Judgements
    structured: bool = False
    """Ask for a JSON object; for servers that know ``response_format``."""
    replicate: int = 0
    """Another number asks the same again: for the judge's own noise."""
    batches: Batches | None = None
    """By which duels are asked beforehand; none is then asked by itself."""
    _in_flight: dict[str, Future[dict[str, Any]]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def judge(self, duel: Duel) -> Judgement:
        """Raises BudgetReached or JudgingError where going on is of no use; a lost call is a FAILED judgement."""
        key, body = self._pair(duel)
        try:
            kept = self._of_batch(key) if self.batches else self._reply(key, body, {"duel": duel.key})
        except CallFailed as failed:
            return Judgement(Preference.FAILED, reason=str(failed), identity=self._identity(), key=key)
        return read_kept(kept)

    def request(self, duel: Duel) -> Asked:
        """What a batch asks for a duel."""
        return Asked(*self._pair(duel), {"duel": duel.key, "identity": self._identity()})

    def grade(self, question: Question, turn: int, answers: tuple[str, ...]) -> Grade:
        """One contestant's answer to a turn, from 1 to 10; raises as ``judge`` does."""
        body = self.client.endpoint.body(self.prompts.single(question, turn, answers[:turn]))
        try:
            kept = self._reply(self._key(body), body, {"graded": content_key([question.id, question.language, turn])})
        except CallFailed as failed:
            return Grade(question, turn, None, "", str(failed))
        return grade_of(question, turn, kept["reply"]["message"])

    def forecast(self, duels: Iterable[Duel]) -> Forecast:
        """What these duels would cost; sends nothing. Raises JudgingError if the budget is below one match."""
        spending, tokens = self.client.spending, self.client.endpoint.decoding.max_tokens
        new: dict[str, float] = {}
        kept = 0
        for duel in duels:
            key, body = self._pair(duel)
            if self.kept.get(key) is None:
                new[key] = spending.bound(len(request_content(body)), tokens)
            else:
                kept += 1
        if new:
            spending.require(min(2, len(new)), sum(sorted(new.values())[:2]))
        return Forecast(calls=len(new), kept=kept, dollars=sum(new.values()) if spending.prices else None)

    def _pair(self, duel: Duel) -> tuple[str, dict[str, Any]]:
        """A duel's request and its key."""
        prompt = self.prompts.pair(duel, "structured" if self.structured else "explained")
        body = self.client.endpoint.body(prompt, self.structured)
        return self._key(body), body

    def _key(self, body: dict[str, Any]) -> str:
        return content_key(["request", self.client.endpoint.address, body, self.replicate])

    def _of_batch(self, key: str) -> dict[str, Any]:
        """What a batch brought."""
        if self.batches is None:
            raise ValueError("there are no batches")
        kept = self.kept.get(key)
        if kept is not None:
            return kept
        if key not in self.batches.lost and self.batches.stopped:
            raise self.batches.stopped
        raise CallFailed(self.batches.lost.get(key, "it was asked in no batch"))

    def _reply(self, key: str, body: dict[str, Any], subject: dict[str, str]) -> dict[str, Any]:
        """What is kept under the key; asked for if need be, once even if two threads want it at the same time."""
        with self._lock:
            kept = self.kept.get(key)
            if kept is not None:
                return kept
            waiting = self._in_flight.get(key)
            if waiting is None:
                mine = self._in_flight[key] = Future[dict[str, Any]]()
        if waiting is not None:
            return waiting.result()
        try:
            reply = self.client.complete(body)
            value = {**subject, "identity": self._identity(), "reply": reply.to_json()}
            self.kept.add(key, value)
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result({"key": key, **value})
            return mine.result()
        finally:
            with self._lock:
                del self._in_flight[key]

    def _identity(self) -> dict[str, Any]:
        endpoint = self.client.endpoint
        return {
            "judge": "api",
            "model": endpoint.model,
            "address": endpoint.address,
            "prompts": self.prompts.hash,
            "structured": self.structured,
            "decoding": endpoint.decoding.body(),
            "replicate": self.replicate,
        }


def read_kept(kept: dict[str, Any]) -> Judgement:
    """The judgement of a kept line: parsed now, by the present rules, so that better rules cost no new calls."""
    reply, identity = kept["reply"], kept["identity"]
    reading = parsing.read_verdict(reply["message"], identity.get("structured", False))
    cut = " (it was cut off at its limit of tokens)" if reading.reason and reply.get("finish") == "length" else ""
    told = {
        "reported": reply["model"],
        "fingerprint": reply.get("fingerprint"),
        "date": reply["date"],
        "parser": f"{reading.parser}-{parsing.VERSION}",
    }
    return Judgement(reading.preference, reply["message"], reading.reason + cut, {**identity, **told}, kept["key"])


def judge_all(judge: Judge, duels: Iterable[Duel], concurrency: int) -> Iterator[Judgement]:
    """``ask_all`` of one judge."""
    return ask_all(((judge, duel) for duel in duels), concurrency)


def ask_all(asked: Iterable[tuple[Judge, Duel]], concurrency: int) -> Iterator[Judgement]:
    """Judgements in the order of the duels, up to ``concurrency`` at a time; only a window of duels is held.

    An exception of a duel (a budget that is reached) is raised when its turn comes: what is queued is cancelled, and
    the calls in flight end and are kept.
    """
    window: deque[Future[Judgement]] = deque()
    with ThreadPoolExecutor(concurrency, thread_name_prefix="judge") as pool:
        try:
            for judge, duel in asked:
                if len(window) >= 4 * concurrency:
                    yield window.popleft().result()
                window.append(pool.submit(judge.judge, duel))
            while window:
                yield window.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
