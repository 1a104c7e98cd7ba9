"""A made-up run with everything a page can show: texts, items, sizes, answers and duels, some of it failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from judged_run import build_judged

from results.cell import Cell, Variant
from results.estimate import Sample
from results.record import Record
from results.statistics import cluster_mean
from results.store import Run

ITEMS = 24
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><b>굵게</b> {{ 7*7 }} `</style>` [[A]]"
SAID = {
    "en": "The ferry leaves at nine.\nIt takes two hours, and nobody checks the tickets.",
    "ko": "배는 아홉 시에 떠납니다.\n두 시간쯤 걸리고 표를 살피는 사람은 없습니다.",
    "ja": "船は九時に出ます。二時間ほどかかります。",
}


def games(method: str, language: str, question: int) -> np.ndarray:
    return np.full((2, 2), (0.0, 0.5, 1.0)[question % 3] if method != "none" else 0.5)


def say(method: str, language: str, question: int, turn: int) -> str:
    return HOSTILE if (question, turn) == (1, 1) else f"{SAID[language]} ({method} {question} {turn}) " * 6


def build_rich(folder: Path, build: Callable[..., Path], languages: Sequence[str] = ("en", "ko", "ja")) -> Path:
    """``build`` is the maker of the plain run in conftest.py."""
    build(folder, languages=languages)
    build_judged(folder, games, ("rtn", "awq"), languages, questions=24, say=say, reason=HOSTILE)
    with Run.open(folder, write=True) as run:
        variants = {r.cell.variant.key: r.cell.variant for r in run.records() if r.cell.task == "perplexity"}
        for variant in variants.values():
            for language in languages:
                _answer_items(run, variant, language)
    return folder


def _answer_items(run: Run, variant: Variant, language: str) -> None:
    """Two items a passage; every method turns some answers, and so does `none` when it answers the first half again."""
    cell = Cell(variant, "zeroshot", 1, language, f"items-{language}", {"tasks": "langgap_items"})
    if variant.method.startswith("ref_"):
        run.append(Record(cell, "skipped", reason="not installed"))
        return
    rng = np.random.default_rng([*variant.key.encode(), *language.encode()])
    margins = np.random.default_rng([*language.encode()]).normal(1.0, 1.0, ITEMS)
    margins = margins - (0 if variant.method == "none" else 0.6) * rng.random(ITEMS)
    _append(run, cell, margins)
    if variant.method == "none":
        again = replace(cell, limit=ITEMS // 2, reference=cell.key)
        _append(run, again, margins[: ITEMS // 2] + rng.normal(0, 0.2, ITEMS // 2), again="batch shape")


def _append(run: Run, cell: Cell, margins: np.ndarray, **notes: str) -> None:
    right = (margins > 0).astype(float)
    samples = [
        Sample(
            f"{cell.language}-item-{i}",
            f"passage-{i // 2:02d}#{i % 2}",
            {"correct": right[i], "margin": float(margins[i]), "choice": float(1 - right[i]), "choices": 2.0},
        )
        for i in range(len(margins))
    ]
    accuracy = cluster_mean(right, [i // 2 for i in range(len(margins))]).interval()
    run.append(Record(cell, "ok", {"accuracy": accuracy}, notes=notes), samples)
