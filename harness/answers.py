"""Answers to open questions of two turns, and what can be told of them without a judge.

The second turn is asked after the model's own first answer. Of each answer is told whether it is empty, was cut off by
the cap, ends in a loop, is in another language than its question, or mixes scripts (`judges.language`); the answers
themselves are kept, to be judged later. Rates are shares of answers, with intervals clustered by question.

A question and its history are never cut. Where they leave less room in the model's window than ``max_new_tokens``, the
answer gets what room there is, or none: it is then empty and cut off, and the record's notes name it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.problems import UserError
from harness.questions import asked, sample_id
from judges.language import KOMT_EXEMPT, AnswerLanguage, language_of
from judges.problems import JudgingError, listed
from judges.questions import TURNS, Question
from methods.base import Progress, silent
from results.cell import Scalar, digest_of
from results.conversation import LENGTH, Conversation
from results.estimate import Estimate, Measurement, Sample
from results.files import replace
from results.loops import ends_in_a_loop

if TYPE_CHECKING:
    from harness.generation import Request, Written
    from harness.languagemodel import LanguageModel
    from harness.prompting import Template

NAME = "answers"
VERSION = 1
SUMMARY = "answers to open questions of two turns: wrong language, loops and cut-off answers; kept to be judged"
NEEDS_MODEL = True
FIELDS = {
    "questions": ("bundled", "bundled, mt_bench, komt_bench or file:DIR; or a table that names one for each language"),
    "max_new_tokens": (1024, "an answer's longest, in tokens"),
    "temperature": ("greedy", "greedy, or category: FastChat's temperature for each category of questions"),
    "template": ("auto", "chat: the tokenizer's chat template; plain: for base models; auto: chat where there is one"),
    "seed": (0, "of the draws, where temperature is category; greedy answers of a seed above 0 get smaller batches"),
    "limit": (None, "at most this many questions; the sweep's limit if not given"),
}
CODE = 1
"""Raised when the same prompt would get another answer."""
TEMPERATURES = (
    dict.fromkeys(("writing", "roleplay"), 0.7)
    | dict.fromkeys(("extraction", "math", "coding", "reasoning"), 0.0)
    | dict.fromkeys(("stem", "humanities"), 0.1)
)
"""Of FastChat's `common.py` (lm-sys/FastChat, fastchat/llm_judge)."""
OTHER_TEMPERATURE = 0.7
RATES = ("wrong_language", "mixed_script", "looped", "truncated", "empty")


def measure(
    lm: LanguageModel,
    params: Mapping[str, Scalar],
    language: str,
    limit: int | None = None,
    answers: Path | None = None,
    progress: Progress = silent,
) -> Measurement:
    """Ask a model the first ``limit`` questions of one set in one language, both turns.

    ``answers`` is the folder of what this artifact answered before: each answer is in it as soon as it is written.
    Raises UserError for questions that are not to be had, and ValueError for a chat template that is not there or
    refuses, and for logits that are not finite.
    """
    asking = _asking(lm, params, language, limit)
    questions = asking.questions
    conversations, short = _conversations(lm, [asking], answers, progress)
    samples, estimates = folded(questions, conversations, short)
    return Measurement(samples, estimates, _notes(lm, asking, samples, short), tuple(conversations))


def folded(
    questions: Sequence[Question], conversations: Sequence[Conversation], short: Short | None = None
) -> tuple[tuple[Sample, ...], dict[str, Estimate]]:
    """What can be told of answers without a judge, whoever wrote them. ``conversations``: one for each question."""
    rated = [_rated(q, c, short or {}) for q, c in zip(questions, conversations, strict=True)]
    samples = tuple(
        Sample(sample_id(question), question.group, _sums(turns))
        for question, turns in zip(questions, rated, strict=True)
    )
    return samples, _estimates(questions, rated)


def write_ahead(
    lm: LanguageModel,
    sets: Iterable[tuple[Mapping[str, Scalar], str, int | None]],
    answers: Path,
    progress: Progress = silent,
) -> None:
    """Write what several calls of ``measure`` will ask, (params, language, limit) each, in common batches.

    A step of a few rows takes as long as a step of one, for it is spent on reading the weights. What cannot be asked
    is left to its ``measure``, which tells why.
    """
    askings = []
    for of in sets:
        with suppress(UserError, ValueError):
            askings.append(_asking(lm, *of))
    with suppress(Exception):  # infinite logits, memory: it happens again where it can be recorded
        _conversations(lm, askings, answers, progress)


@dataclass(frozen=True)
class _Asking:
    """One set of questions and how it is asked."""

    questions: tuple[Question, ...]
    template: Template
    params: Mapping[str, Scalar]


def _asking(lm: LanguageModel, params: Mapping[str, Scalar], language: str, limit: int | None) -> _Asking:
    from harness.prompting import template_of

    questions = asked(str(params["questions"]), language, limit)
    return _Asking(questions, template_of(lm, str(params["template"]), language), params)


def temperature_of(category: str, rule: str) -> float:
    """``rule`` is greedy or category.

    >>> temperature_of("writing", "category"), temperature_of("writing", "greedy")
    (0.7, 0.0)
    """
    return TEMPERATURES.get(category, OTHER_TEMPERATURE) if rule == "category" else 0.0


Short = dict[tuple[str, int], int]
"""(question id, turn from 1) -> tokens of room, where that is less than the cap."""


def _conversations(
    lm: LanguageModel, askings: Sequence[_Asking], folder: Path | None, progress: Progress
) -> tuple[list[Conversation], Short]:
    """All questions of all sets turn by turn, many at once; and which answers had less room than the cap."""
    from harness.generation import Request, Written

    seats = [(asking, question) for asking in askings for question in asking.questions]
    told: list[list[Written]] = [[] for _ in seats]
    short: Short = {}
    for turn in range(TURNS):
        requests: dict[int, Request] = {}
        for place, (asking, question) in enumerate(seats):
            params, template = asking.params, asking.template
            cap, seed = int(params["max_new_tokens"] or 0), params["seed"]
            history = [text for one, own in zip(question.turns, told[place], strict=False) for text in (one, own.text)]
            ids = template.encode([*history, question.turns[turn]])
            room = min(cap, lm.window - len(ids))
            if room < cap:
                short[question.id, turn + 1] = max(0, room)
            if room > 0:
                drawn = int(digest_of([seed, question.language, question.id, turn])[:15], 16)
                temperature = temperature_of(question.category, str(params["temperature"]))
                drawn = drawn if temperature else int(seed or 0)
                requests[place] = Request(tuple(ids), room, template.ending, temperature, drawn)

        def count(done: int, turn: int = turn) -> None:
            progress("answering", turn * len(seats) + done, TURNS * len(seats))

        written = _remembered(lm, requests, folder, count)
        for place in range(len(seats)):
            told[place].append(written.get(place, Written("", LENGTH, 0)))
    return [
        Conversation(question.id, tuple(w.text for w in own), tuple(w.stop for w in own), tuple(w.tokens for w in own))
        for (_, question), own in zip(seats, told, strict=True)
    ], short


def _remembered(
    lm: LanguageModel, requests: Mapping[int, Request], folder: Path | None, count: Callable[[int], None]
) -> dict[int, Written]:
    """What the model writes on each prompt: from the folder where all of its batch stands there, else written and kept.

    Greedy prompts of a seed above 0 are written half as many at once: another batch shape, which is all that can change
    a greedy answer.
    """
    from harness.generation import MOST_ROWS, Written, write

    how = [CODE, lm.dtypes(), lm.device.partition(":")[0]]
    paths = {place: folder / f"{_key(how, request)}.json" for place, request in requests.items()} if folder else {}
    found: dict[int, Written] = {}
    for place, path in paths.items():
        try:
            found[place] = Written(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            continue
    again = [place for place in requests if requests[place].seed and not requests[place].temperature]
    companies = [([place for place in requests if place not in again], MOST_ROWS), (again, max(1, len(again) // 2))]
    for places, most in companies[: 2 if again else 1]:

        def keep(number: int, written: Written, places: Sequence[int] = places) -> None:
            place = places[number]
            found[place] = written
            if place in paths:
                replace(paths[place], json.dumps(asdict(written)).encode())
            count(len(found))

        left = {number for number, place in enumerate(places) if place not in found}
        write(lm, [requests[place] for place in places], keep, most_rows=min(most, MOST_ROWS), needed=left)
    return found


def _key(how: Sequence[object], request: Request) -> str:
    ending = request.ending
    prompt = {name: value for name, value in asdict(request).items() if name != "ending"}
    return digest_of([[*how, [sorted(ending.ids), list(ending.strings)]], prompt])


def _rated(question: Question, conversation: Conversation, short: Short) -> list[dict[str, float]]:
    """What is told of each answer, as 0 or 1. Answers that are to be data have no language."""
    found = []
    for turn, text in enumerate(conversation.turns):
        of = {
            "answers": 1.0,
            "tokens": float(conversation.tokens[turn]),
            "empty": float(not text.strip()),
            "truncated": float(conversation.stops[turn] == LENGTH),
            "looped": float(ends_in_a_loop(text)),
            "short_of_room": float((question.id, turn + 1) in short),
        }
        if question.id not in KOMT_EXEMPT and (told := _language(question, turn, text)):
            of |= {
                "rated": 1.0,
                "wrong_language": float(told.wrong),
                "mixed_script": float(told.mixed),
                "undetermined": float(told.detected is None),
            }
        found.append(of)
    return found


def _language(question: Question, turn: int, text: str) -> AnswerLanguage | None:
    """None for a language that cannot be told from others."""
    try:
        return language_of(text, question.language, "\n".join(question.turns[: turn + 1]))
    except JudgingError:
        return None


def _sums(turns: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for of in turns for name in of)
    return {name: sum(of.get(name, 0.0) for of in turns) for name in names}


def _estimates(questions: Sequence[Question], rated: Sequence[Sequence[Mapping[str, float]]]) -> dict[str, Estimate]:
    from results.statistics import cluster_mean, cluster_share

    found = {}
    for name in (*RATES, "tokens"):
        values = [
            (of[name], question.group)
            for question, turns in zip(questions, rated, strict=True)
            for of in turns
            if name in of
        ]
        if not values:
            continue
        numbers, clusters = zip(*values, strict=True)
        if name == "tokens":
            found["tokens_per_answer"] = cluster_mean(numbers, clusters).interval()
        else:
            found[name] = cluster_share(numbers, clusters)
    return found


def _notes(lm: LanguageModel, asking: _Asking, samples: Sequence[Sample], short: Short) -> dict[str, str]:
    questions, template, params = asking.questions, asking.template, asking.params
    cap = params["max_new_tokens"]
    dtypes = ", ".join(f"{part.replace('_', '-')} {dtype}" for part, dtype in lm.dtypes().items())
    notes = {
        "template": f"{template.name}: {json.dumps(template.text, ensure_ascii=False)}",
        "decoding": "greedy" if params["temperature"] == "greedy" else f"by category, seed {params['seed']}",
        "ending": f"at most {cap} tokens; ends at token {listed(map(str, sorted(template.ending.ids)))}"
        + "".join(f" or before {json.dumps(text, ensure_ascii=False)}" for text in template.ending.strings),
        "dtypes": dtypes,
    }
    if unsure := int(sum(sample.quantities.get("undetermined", 0) for sample in samples)):
        notes["undetermined"] = f"{unsure} answers hold too little prose to tell their language: not counted as wrong"
    if exempt := [question.id for question in questions if question.id in KOMT_EXEMPT]:
        notes["exempt"] = f"questions {listed(exempt)} ask for data files: their answers have no language"
    elif not any("rated" in sample.quantities for sample in samples):
        notes["languages"] = f"answers in '{questions[0].language}' cannot be told from other languages"
    if short:
        first = ", ".join(f"{number} turn {turn}" for number, turn in list(short)[:5])
        notes["short_of_room"] = (
            f"{len(short)} answers ({first}{' ...' if len(short) > 5 else ''}) had room for less than {cap} tokens: "
            f"the model reads {lm.window} at once, and no question or history is cut"
        )
    return notes
