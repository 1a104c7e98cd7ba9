"""Second answers of `none` to the same questions and items, by which noise floors are known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from results.cell import Cell
from results.record import Record

AGAIN = "again"
"""The note of a record of second answers, or of one that shows a variant against them: how they were made, ``re-run``
(once more the same way; where they are drawn, anew) or ``batch shape`` (in other batches)."""


def asks_again(cell: Cell) -> bool:
    """Whether a cell asks `none` once more what it was asked in the cell of its reference: items of lm-eval's tasks."""
    return cell.task == "zeroshot" and cell.reference is not None


def is_again(record: Record) -> bool:
    """Whether a pairwise record shows a variant's answers beside its second answers to the same questions."""
    return AGAIN in record.notes


def answered_again(records: Iterable[Record]) -> dict[str, tuple[Cell, Cell]]:
    """Key of a cell of second answers -> (it, that of the first): the same but for a higher seed."""
    found: dict[str, tuple[Cell, Cell]] = {}
    first: dict[str, Cell] = {}
    cells = [record.cell for record in records if record.cell.task == "answers" and "seed" in record.cell.params]
    for cell in sorted(cells, key=lambda cell: int(cell.params["seed"] or 0)):
        one = first.setdefault(replace(cell, params={**cell.params, "seed": 0}).key, cell)
        if one is not cell:
            found[cell.key] = cell, one
    return found
