"""Which questions the task `answers` asks, in which languages, and by what they are identified. Imports no library."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from harness.problems import UserError, listed
from judges.problems import JudgingError
from judges.questions import HUB, Question, load_questions
from results.cell import Scalar, digest_of

PLACE = "{language}"
CHOICES = {"temperature": ("greedy", "category"), "template": ("auto", "chat", "plain")}
LEAST = {"max_new_tokens": 1, "limit": 1, "seed": 0}


def question_set(questions: str, language: str) -> str | None:
    """The set that one language is asked; None where sets are named by language and this one has none.

    >>> question_set("bundled", "ko"), question_set("en=mt_bench,ko=komt_bench", "ko")
    ('bundled', 'komt_bench')
    >>> question_set("file:mine/{language}", "ko"), question_set("en=mt_bench", "ko")
    ('file:mine/ko', None)
    """
    sets = _by_language(questions)
    name = sets.get(language) if sets else questions
    return None if name is None else name.replace(PLACE, language)


def _by_language(questions: str) -> dict[str, str]:
    """``en=mt_bench,ko=komt_bench`` as a mapping; empty for a single set."""
    pairs = re.split(r",(?=[A-Za-z-]+=)", questions)
    if not all(re.match(r"[A-Za-z-]+=.", pair) for pair in pairs):
        return {}
    return {code: name for code, _, name in (pair.partition("=") for pair in pairs)}


def asked(name: str, language: str, limit: int | None = None) -> tuple[Question, ...]:
    """The first ``limit`` questions of a set. Raises UserError if it has none, twins, or cannot be had."""
    try:
        found = load_questions(name, language)[:limit]
    except JudgingError as error:
        raise UserError(str(error)) from None
    twins = [number for number, count in Counter(question.id for question in found).items() if count > 1]
    if twins:
        raise UserError(f"{name} has question {twins[0]} twice in '{language}'; each id belongs to one question.")
    if not found:
        raise UserError(f"{name} has no question in '{language}'.")
    return found


def fingerprint(questions: Sequence[Question]) -> str:
    """Identity of what is asked and judged: turns, references, categories, ids and language, in order."""
    return digest_of([asdict(question) for question in questions])


def sample_id(question: Question) -> str:
    """Hash of a question's turns in its language."""
    return digest_of([question.language, list(question.turns)])[:16]


def check(params: Mapping[str, Scalar], languages: Sequence[str]) -> Iterator[str]:
    """What is wrong with the parameters, and which languages have no questions; what the hub has is not fetched."""
    for name, allowed in CHOICES.items():
        if params[name] not in allowed:
            yield f"answers: {name} is '{params[name]}', but must be {' or '.join(allowed)}."
    for name, least in LEAST.items():
        if (value := params[name]) is not None and int(value) < least:
            yield f"answers: {name} is {value}, but must be {least} or more."
    questions = str(params["questions"])
    if questions.startswith("file:") and PLACE not in questions and len(languages) > 1:
        yield (
            f"answers: '{questions}' would be asked in {listed(languages)} alike. Put {PLACE} where the folders' names "
            "differ, or name a set for each language: questions = { en = 'file:mine', ko = 'komt_bench' }."
        )
        return
    for language in languages:
        asks = question_set(questions, language)
        if asks is None or (asks in HUB and HUB[asks][1] == language):
            continue
        try:
            load_questions(asks, language)
        except JudgingError as error:
            yield f"answers: {error}{_remedy(asks)}"


def unasked(questions: str, languages: Sequence[str]) -> str | None:
    """A sentence on the languages of a sweep that are asked nothing because sets are named for others only."""
    left = [code for code in languages if question_set(questions, code) is None]
    if not left:
        return None
    return f"`answers` asks nothing in {listed(left)}: its questions are named for {listed(_by_language(questions))}."


def _remedy(name: str) -> str:
    if name not in HUB:
        return ""
    return f" Name a set for each language: questions = {{ {HUB[name][1]} = '{name}', ... }}."
