"""The measurements, found by file: modules of this package that declare NAME, VERSION, SUMMARY and FIELDS as literals.

A task's ``measure`` is given a reading if it has a ``corpus``, the loaded model if it declares NEEDS_MODEL, the
artifact's folder and the model if it declares RUNS_MODEL, and else the folder alone.

Listing reads those with ``ast`` and imports nothing, so that a misspelt parameter is refused within milliseconds.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from results.cell import Scalar

_FOLDER = Path(__file__).parent
_DECLARED = ("NAME", "VERSION", "SUMMARY", "FIELDS")
_OPTIONAL = ("NEEDS_MODEL", "RUNS_MODEL", "LATER")


@dataclass(frozen=True)
class Task:
    name: str
    version: int
    """Raised when the same text and model would give another number."""
    summary: str
    fields: Mapping[str, tuple[Scalar, str]]
    """Parameter -> (default, help)."""
    module: str
    needs_model: bool = False
    """Whether it asks the loaded model questions of its own, as zeroshot does."""
    runs_model: bool = False
    """Whether it runs the loaded model without text, as speed does: it has a single cell, of no language."""
    later: bool = False
    """Whether it is a phase of its own over what another task stored, as pairwise is: no [[task]] asks for it."""

    @property
    def reads_text(self) -> bool:
        """Whether it reads text in each language."""
        return "corpus" in self.fields

    @property
    def asks_items(self) -> bool:
        """Whether it asks the items of lm-eval's tasks."""
        return "tasks" in self.fields

    @property
    def asks_questions(self) -> bool:
        """Whether it asks a set of open questions."""
        return "questions" in self.fields

    @property
    def weighs(self) -> bool:
        """Whether it looks at the artifact's folder only, as footprint does: it has a single cell, of no language."""
        return not (self.reads_text or self.needs_model or self.runs_model or self.later)

    def load(self) -> ModuleType:
        """The module itself, with all it imports."""
        return importlib.import_module(self.module)


def all_tasks() -> dict[str, Task]:
    """Every task by name, in alphabetical order."""
    return dict(_in(_FOLDER))


@cache  # asked for at every cell, and the folder does not change
def _in(folder: Path) -> Mapping[str, Task]:
    found = (_declared(path) for path in folder.glob("[!_]*.py"))
    return {task.name: task for task in sorted((task for task in found if task), key=lambda task: task.name)}


def _declared(path: Path) -> Task | None:
    """The task a file declares, or None."""
    source = path.read_text(encoding="utf-8")
    if not all(f"\n{name}" in source for name in _DECLARED):  # spares parsing the files that cannot be one
        return None
    constants: dict[str, Any] = {}
    for node in ast.parse(source).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        name = target.id if isinstance(target, ast.Name) else ""
        if name in (*_DECLARED, *_OPTIONAL) and isinstance(node, ast.Assign | ast.AnnAssign):
            constants[name] = ast.literal_eval(node.value) if node.value else None
    if not constants.keys() >= set(_DECLARED):
        return None
    name, version, summary, fields = (constants[key] for key in _DECLARED)
    needs = [constants.get(name, False) for name in _OPTIONAL]
    return Task(name, version, summary.rstrip("."), fields, f"harness.{path.stem}", *needs)
