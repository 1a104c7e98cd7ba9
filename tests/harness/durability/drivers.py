"""Drivers in processes of their own, and what a run must hold whatever happened to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from results.store import Run

ROOT = Path(__file__).parents[3]
CELLS = 10
"""Of a small sweep: none and one method, two languages, perplexity, fidelity and footprint."""
LONGEST = 300.0
IMPORTS = 0.3
"""Share of a driver's time in which it imports and does nothing that could be lost."""


def share_of_moments() -> int:
    """How many moments each kind of process is killed at: a third of ``LANGGAP_MOMENTS``, one at least."""
    return max(1, int(os.environ.get("LANGGAP_MOMENTS", "3")) // 3)


def drive(*words: object) -> subprocess.Popen[bytes]:
    """``langgap WORDS`` in a process of its own, as from a shell."""
    return subprocess.Popen(
        [sys.executable, "-m", "harness", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def lines_of(run: Path) -> Counter[str]:
    """Cell key -> how many ok records were written of it in all."""
    lines = (run / "records.jsonl").read_text(encoding="utf-8").splitlines()
    return Counter(value["key"] for value in map(json.loads, lines) if value["status"] == "ok")


def whole(run: Path) -> dict[str, tuple]:
    """Cell key -> all that must not depend on what happened on the way."""
    opened = Run.open(run)
    return {
        it.cell.key: (it.status, it.reason, it.artifact, it.estimates, opened.samples(it.cell.key))
        for it in opened.records()
    }
