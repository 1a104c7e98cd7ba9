"""Answers to open questions of two turns, and what can be told of them without a judge.

The second turn is asked after the model's own first answer. Of each answer is told whether it is empty, was cut off by
the cap, ends in a loop, is in another language than its question, or mixes scripts (`judges.language`); the answers
themselves are kept, to be judged later. Rates are shares of answers, with intervals clustered by question.

A question and its history are never cut. Where they leave less room in the model's window than ``max_new_tokens``, the
answer gets what room there is, or none: it is then empty and cut off, and the record's notes name it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

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
    "questions": (
        "bundled",
        "bundled, mt_bench, komt_bench or file:DIR; a table names a set for each language: { en = 'mt_bench' }",
    ),
    "max_new_tokens": (1024, "an answer's longest, in tokens"),
    "temperature": ("greedy", "greedy, or category: FastChat's temperature for each category of questions"),
    "template": ("auto", "chat: the tokenizer's chat template; plain: for base models; auto: chat where there is one"),
    "seed": (0, "of the draws, where temperature is category"),
    "limit": (None, "at most this many questions; the sweep's limit if not given"),
}
CODE = 1
"""Raised when the same prompt would get another answer."""
TEMPERATURES = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
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
    from harness.prompting import template_of

    questions = asked(str(params["questions"]), language, limit)
    template = template_of(lm, str(params["template"]), language)
    conversations, short = _conversations(lm, questions, template, params, answers, progress)
    rated = [_rated(q, c, short) for q, c in zip(questions, conversations, strict=True)]
    samples = [
        Sample(sample_id(question), question.group, _sums(turns))
        for question, turns in zip(questions, rated, strict=True)
    ]
    notes = _notes(lm, questions, template, params, samples, short)
    return Measurement(tuple(samples), _estimates(questions, rated), notes, tuple(conversations))


def temperature_of(category: str, rule: str) -> float:
    """``rule`` is greedy or category.

    >>> temperature_of("writing", "category"), temperature_of("writing", "greedy")
    (0.7, 0.0)
    """
    return TEMPERATURES.get(category, OTHER_TEMPERATURE) if rule == "category" else 0.0


Short = dict[tuple[str, int], int]
"""(question id, turn from 1) -> tokens of room, where that is less than the cap."""


def _conversations(
    lm: LanguageModel,
    questions: Sequence[Question],
    template: Template,
    params: Mapping[str, Scalar],
    folder: Path | None,
    progress: Progress,
) -> tuple[list[Conversation], Short]:
    """All questions turn by turn, many at once; and which answers had less room than the cap."""
    from harness.generation import Request, Written

    cap, seed = int(params["max_new_tokens"] or 0), params["seed"]
    told: list[list[Written]] = [[] for _ in questions]
    short: Short = {}
    for turn in range(TURNS):
        requests: dict[int, Request] = {}
        for place, question in enumerate(questions):
            history = [text for one, own in zip(question.turns, told[place], strict=False) for text in (one, own.text)]
            ids = template.encode([*history, question.turns[turn]])
            room = min(cap, lm.window - len(ids))
            if room < cap:
                short[question.id, turn + 1] = max(0, room)
            if room > 0:
                drawn = int(digest_of([seed, question.language, question.id, turn])[:15], 16)
                temperature = temperature_of(question.category, str(params["temperature"]))
                requests[place] = Request(tuple(ids), room, temperature, drawn if temperature else 0)

        def count(done: int, turn: int = turn) -> None:
            progress("answering", turn * len(questions) + done, TURNS * len(questions))

        written = _remembered(lm, requests, template, folder, count)
        for place in range(len(questions)):
            told[place].append(written.get(place, Written("", LENGTH, 0)))
    return [
        Conversation(question.id, tuple(w.text for w in own), tuple(w.stop for w in own), tuple(w.tokens for w in own))
        for question, own in zip(questions, told, strict=True)
    ], short


def _remembered(
    lm: LanguageModel,
    requests: Mapping[int, Request],
    template: Template,
    folder: Path | None,
    count: Callable[[int], None],
) -> dict[int, Written]:
    """What the model writes on each prompt: from the folder where it stands there, else written now and kept."""
    from harness.generation import Written, write

    ending = [sorted(template.ending.ids), list(template.ending.strings)]
    how = [CODE, lm.dtypes(), lm.device.partition(":")[0], ending]
    keys = {place: digest_of([how, asdict(request)]) for place, request in requests.items()}
    paths = {place: folder / f"{key}.json" for place, key in keys.items()} if folder else {}
    found: dict[int, Written] = {}
    for place, path in paths.items():
        try:
            found[place] = Written(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            continue
    left = [place for place in requests if place not in found]

    def keep(number: int, written: Written) -> None:
        place = left[number]
        found[place] = written
        if place in paths:
            replace(paths[place], json.dumps(asdict(written)).encode())
        count(len(found))

    write(lm, [requests[place] for place in left], template.ending, keep)
    return found


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


def _notes(
    lm: LanguageModel,
    questions: Sequence[Question],
    template: Template,
    params: Mapping[str, Scalar],
    samples: Sequence[Sample],
    short: Short,
) -> dict[str, str]:
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
