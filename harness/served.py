"""The questions of a run, asked again of a variant that a server runs: what its users get, engine and kernels included.

The variant is exported (`langgap export`) and served by the user; the questions, cap and temperatures are those of the
run's records of the task `answers`, and the server applies the chat template of the checkpoint it was given. What it
writes goes to a run folder of its own, as records of `answers` that can be judged like any others: answers of two
engines are not compared with each other, for the engine would be part of the difference.

*Is it the same model?* Where the run holds greedy answers that the artifact wrote here, the first questions are asked
first and compared. Two engines round differently, so texts part somewhere; a wrong checkpoint, a wrong adapter or
another chat template part at once. Fewer than half that begin alike fail the cell before the rest is asked.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any
from urllib.parse import urlsplit

from harness.answers import folded, temperature_of
from harness.contestants import find_variant
from harness.judging import asked_questions
from harness.problems import UserError, listed
from harness.progress import Reporter
from judges.duel import content_key
from judges.endpoint import CallFailed, Client, Endpoint
from judges.judgements import Judgements
from judges.questions import TURNS, Question
from results.cell import Cell, digest_of
from results.conversation import END, LENGTH, Conversation
from results.environment import capture
from results.labels import labels
from results.record import Record
from results.store import Run

ENGINE = {"engine": "server"}
"""What a cell says beside the parameters of the answers it repeats."""
CHECKED = 4
"""Questions that are compared before the others are asked."""
OPENING = 3
"""Words: answers that share so many at their beginning begin alike."""
LOOK_SECONDS = 10.0


class Unlike(ValueError):
    """The server's answers are not those of this variant; the message is the reason in a record."""


@dataclass(frozen=True)
class Server:
    client: Client
    kept: Judgements
    """Every reply by the content of its request: none is asked for twice."""
    engine: str
    """What the server says of itself, for the record."""
    concurrency: int = 8


def model_names(endpoint: Endpoint, key: str) -> tuple[str, ...]:
    """What the server says that it serves. Raises UserError where it does not answer."""
    found = look(f"{endpoint.address}/models", key)
    listing = found.get("data") if isinstance(found, dict) else None
    if not isinstance(listing, list):
        raise UserError(
            f"{endpoint.address} does not list its models. Is the server running, and is the base URL right? Most end "
            "in /v1."
        )
    return tuple(str(one["id"]) for one in listing if isinstance(one, dict) and "id" in one)


def engine_of(endpoint: Endpoint, key: str) -> str:
    """What the server tells of itself: vLLM and SGLang say their version, most who owns the model."""
    parts = urlsplit(endpoint.address)
    version = look(f"{parts.scheme}://{parts.netloc}/version", key)
    listing = look(f"{endpoint.address}/models", key)
    entries = listing.get("data") if isinstance(listing, dict) else None
    mine: dict[str, Any] = next((e for e in entries or () if isinstance(e, dict) and e.get("id") == endpoint.model), {})
    told = [str(mine["owned_by"])] if mine.get("owned_by") else []
    told += [f"version {version['version']}"] if isinstance(version, dict) and version.get("version") else []
    told += [f"{name} {mine[name]}" for name in ("max_model_len", "parent") if mine.get(name)]
    return ", ".join(told) or "it does not say what it is"


def look(url: str, key: str) -> Any:
    """What stands at an address, as JSON; None where there is none."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    with suppress(OSError, ValueError), urllib.request.urlopen(request, timeout=LOOK_SECONDS) as reply:
        return json.loads(reply.read())
    return None


def serve_run(run: Run, out: Run, word: str, server: Server, reporter: Reporter) -> list[Cell]:
    """Ask the server what the run asked, and record its answers in ``out`` as those of the variant that ``word`` names.

    Cells that ``out`` holds already are left. Returns all of the variant's cells. Raises UserError for a variant that
    is not known or not one, and for questions that were not asked by a chat template.
    """
    records = run.records()
    named = labels(record.cell.variant for record in records)
    meant = find_variant(word, named, (record.cell.variant for record in records))
    if len(meant) > 1:
        raise UserError(f"'{word}' means {listed(sorted(named[key] for key in meant))}; name one of them.")
    mine = [record for record in records if record.cell.variant.key in meant]
    local = {_place(record.cell): record for record in records if record.cell.task == "answers"}
    if not local:
        raise UserError("the run holds no answers. Let models write some with: langgap sweep ... --task answers")
    local |= {_place(record.cell): record for record in mine if record.cell.task == "answers"}
    cells = [_cell(mine[0].cell, record.cell) for record in local.values()]
    pending = {cell.key for cell in out.pending(cells)}
    reporter.expect(len(pending), already=len(cells) - len(pending))
    environment = out.add_environment(capture())
    for cell, record in zip(cells, local.values(), strict=True):
        if cell.key not in pending:
            continue
        own = record if record.cell.variant == cell.variant and record.status == "ok" else None
        known = {one.question: one for one in run.conversations(own.cell.key)} if own else {}
        made = next((it.artifact for it in mine if it.artifact), None)
        measured, told = _measured(cell, record, known, server, reporter)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        made_now = replace(measured, artifact=made, environment=environment, created=now)
        out.append(made_now, *told)
        reporter.finished(made_now, named[cell.variant.key])
    return cells


def _place(cell: Cell) -> tuple[object, ...]:
    """What is asked, whoever answers."""
    return cell.language, cell.text, json.dumps(dict(cell.params), sort_keys=True), cell.limit


def _cell(of: Cell, asked: Cell) -> Cell:
    return replace(asked, variant=of.variant, params={**asked.params, **ENGINE})


def _measured(
    cell: Cell, record: Record, known: Mapping[str, Conversation], server: Server, reporter: Reporter
) -> tuple[Record, tuple[Any, ...]]:
    """The cell's record, its samples and conversations."""
    if record.notes.get("template", "").startswith("plain"):
        raise UserError(
            f"the run's answers in {cell.language} were asked by the plain template, which servers do not know: they "
            "apply the checkpoint's chat template. Serve a model that has one, or ask with template=chat."
        )
    endpoint, began = server.client.endpoint, time.perf_counter()
    notes = {"served": f"{endpoint.model} at {endpoint.address}", "engine": server.engine}
    try:
        questions = asked_questions(replace(cell, params={k: v for k, v in cell.params.items() if k not in ENGINE}))
        told = _all_told(questions, cell, known, server, reporter)
        agreement = agreed(told, known) if _is_greedy(cell) else None
        samples, estimates = folded(questions, told)
    except (CallFailed, ValueError) as error:
        seconds = {"measure": round(time.perf_counter() - began, 3)}
        return Record(cell, "failed", reason=" ".join(str(error).split())[:600], seconds=seconds, notes=notes), ()
    notes["agreement"] = agreement.sentence if agreement else "not compared: the run holds no greedy answers of it"
    notes["decoding"] = record.notes.get("decoding", "")
    seconds = {"measure": round(time.perf_counter() - began, 3)}
    return Record(cell, "ok", estimates, seconds=seconds, notes=notes), (samples, told)


def _all_told(
    questions: Sequence[Question],
    cell: Cell,
    known: Mapping[str, Conversation],
    server: Server,
    reporter: Reporter,
) -> list[Conversation]:
    """All answers in the order of the questions. Raises Unlike, CallFailed, JudgingError."""
    told: list[Conversation] = []

    def ask(question: Question) -> Conversation:
        return _asked(question, cell, server)

    with ThreadPoolExecutor(server.concurrency) as threads:
        for part in (questions[:CHECKED], questions[CHECKED:]):
            for conversation in threads.map(ask, part):
                told.append(conversation)
                reporter.phase(f"asking {cell.language}", len(told), len(questions))
            if _is_greedy(cell):
                _require_alike(agreed(told, known))
    return told


def _is_greedy(cell: Cell) -> bool:
    return cell.params["temperature"] == "greedy"


def _asked(question: Question, cell: Cell, server: Server) -> Conversation:
    """Both turns, the second after the server's own first answer."""
    texts: list[str] = []
    stops: list[str] = []
    tokens: list[int] = []
    params = cell.params
    for turn in range(TURNS):
        messages = [{"role": "user", "content": question.turns[0]}]
        if turn:
            messages += [{"role": "assistant", "content": texts[0]}, {"role": "user", "content": question.turns[1]}]
        temperature = temperature_of(question.category, str(params["temperature"]))
        body: dict[str, Any] = {
            "model": server.client.endpoint.model,
            "messages": messages,
            "temperature": temperature,
            "max_tokens": params["max_new_tokens"],
        }
        if temperature:
            body["seed"] = int(digest_of([params["seed"], question.language, question.id, turn])[:8], 16)
        key = content_key(["served", server.client.endpoint.address, server.engine, body])
        reply = (server.kept.get(key) or {}).get("reply")
        if reply is None:
            reply = server.client.complete(body).to_json()
            server.kept.add(key, {"question": question.id, "reply": reply})
        if reply["output_tokens"] is None:
            raise CallFailed("the server reports no usage, so that the length of its answers is not known")
        texts.append(reply["message"].strip())
        stops.append(LENGTH if reply["finish"] == "length" else END)
        tokens.append(reply["output_tokens"])
    return Conversation(question.id, tuple(texts), tuple(stops), tuple(tokens))


@dataclass(frozen=True)
class Agreement:
    """How far a server's greedy answers are those that were written here."""

    compared: int
    same: int
    alike: int
    """That begin with the same words, the same ones among them."""
    shared: float
    """Of the others, the mean share of characters before they part."""

    @property
    def sentence(self) -> str:
        rest = f"; the others share their first {self.shared:.0%} on average" if self.same < self.compared else ""
        return f"{self.same} of {self.compared} greedy answers are those written here, word for word{rest}"


def agreed(told: Sequence[Conversation], known: Mapping[str, Conversation]) -> Agreement | None:
    """Compare answers with those written here; second ones where the first are the same. None: nothing to compare."""
    pairs = []
    for one in told:
        here = known.get(one.question)
        if here is not None:
            pairs.append((one.turns[0], here.turns[0]))
            if one.turns[0] == here.turns[0]:
                pairs.append((one.turns[1], here.turns[1]))
    if not pairs:
        return None
    parted = [_shared(*pair) / max(1, *map(len, pair)) for pair in pairs if pair[0] != pair[1]]
    return Agreement(
        len(pairs),
        len(pairs) - len(parted),
        sum(a.split()[:OPENING] == b.split()[:OPENING] for a, b in pairs),
        sum(parted) / len(parted) if parted else 1.0,
    )


def _shared(a: str, b: str) -> int:
    """Characters before two texts part."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def _require_alike(found: Agreement | None) -> None:
    if found is not None and 2 * found.alike < found.compared:
        raise Unlike(
            f"the server does not answer as this variant does here: {found.alike} of {found.compared} greedy answers "
            f"begin with the same {OPENING} words. Is it the export of this variant, with its chat template and, where "
            "neurons were kept, its adapter?"
        )
