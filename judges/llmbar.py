"""LLMBar's recorded judgements (arXiv 2310.07641) as judgements of duels: who said which of two outputs is better.

A file is a JSON list of {input, output_1, output_2, results}, where ``results[0]`` holds one completion for each order,
``swap = False`` and ``swap = True``. The last "Output (a)" or "Output (b)" of a completion is its verdict.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from judges.duel import Judgement, Preference, games
from judges.problems import JudgingError
from judges.questions import Question

ORDERS = ("swap = False", "swap = True")
_VERDICT = re.compile(r"Output \(([ab])\)")
_SAID = {"a": Preference.FIRST, "b": Preference.SECOND}


def labelled_question(asked: str, number: int, language: str = "en") -> Question:
    """A pair's instruction as a question: it has one turn, which stands for both."""
    name = f"labelled-{number}"
    return Question(name, name, "general", (asked, asked), None, language)


def is_llmbar(path: Path) -> bool:
    """Whether a file is a JSON list, and so no judgements file of ours."""
    with path.open(encoding="utf-8") as file:
        return file.read(1) == "["


def read_llmbar(path: Path) -> dict[str, Judgement]:
    """Key of each duel -> what was said of it; the first of a duel that stands there twice. Raises JudgingError."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise JudgingError(f"{path} is no JSON: {error}.") from None
    found: dict[str, Judgement] = {}
    for number, row in enumerate(rows, start=1):
        try:
            question = labelled_question(str(row["input"]), number)
            duels = games(question, 1, (str(row["output_1"]),), (str(row["output_2"]),))
            said = [str(row["results"][0][order]["completion"][0]) for order in ORDERS]
        except (KeyError, TypeError, IndexError) as error:
            raise JudgingError(
                f"{path}, row {number}, is no recorded judgement of LLMBar's ({type(error).__name__}: {error}); a row "
                "has input, output_1, output_2 and results with a completion for each order."
            ) from None
        for duel, message in zip(duels, said, strict=True):
            found.setdefault(duel.key, _judgement(message, duel.key))
    return found


def _judgement(message: str, key: str) -> Judgement:
    identity: dict[str, Any] = {"judge": "replay", "parser": "llmbar"}
    verdicts = _VERDICT.findall(message)
    if not verdicts:
        return Judgement(Preference.UNREADABLE, message, "the completion names no output", identity, key)
    return Judgement(_SAID[verdicts[-1]], message, "", identity, key)
