"""A matrix as a codebook: for each row a table of k values, and for each weight the number of one of them.

The values are those of ``_kmeans``, rounded to the type they are stored in; codes are chosen after that.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from methods._kmeans import Row, exact, histogram, refine

HALF = torch.finfo(torch.float16)
SOLVERS = ("histogram", "exact")
CHUNK = 2**19
"""Weights clustered at a time: about 100 bytes of memory each."""


class Codebook(NamedTuple):
    """A quantized matrix: each weight is its row's ``table[code]``."""

    codes: Tensor
    """uint8 ``(rows, n)``."""
    table: Tensor
    """float16 ``(rows, k)``, rising; float32 in a matrix with a row outside float16's normal range."""


def cluster(weight: Tensor, importance: Tensor, k: int, solver: str = "histogram") -> Codebook:
    """Cluster the rows of ``weight (R, n)`` around ``k`` values each; ``importance (R, n)``, finite and not negative.

    A row without importance counts all its weights alike. A row of fewer distinct values than k repeats the last one.
    Codes are chosen against the table as stored.
    """
    step = max(1, CHUNK // weight.shape[1])
    parts = zip(weight.split(step), importance.split(step), strict=True)
    table = _stored(torch.cat([centroids(w.float(), f, k, solver) for w, f in parts]))
    return Codebook(assign(weight, table), table)


def assign(weight: Tensor, table: Tensor) -> Tensor:
    """uint8 ``(R, n)``: number of the value nearest to each weight in its row's rising ``table (R, k)``."""
    values = table.float()
    middles = (values[:, 1:] + values[:, :-1]) / 2
    step = max(1, CHUNK // weight.shape[1])
    parts = zip(middles.split(step), weight.split(step), strict=True)
    return torch.cat([torch.searchsorted(m, w.float().contiguous()).to(torch.uint8) for m, w in parts])


def lookup(codes: Tensor, table: Tensor) -> Tensor:
    """float32 ``(R, n)``: the value of each code in its row's ``table (R, k)``."""
    return table.float().gather(1, codes.long())


def centroids(weight: Tensor, importance: Tensor, k: int, solver: str) -> Tensor:
    """float32 ``(R, k)``, rising: the values themselves, before they are rounded to be stored."""
    row = Row.sorted(weight, importance)
    if solver == "exact":
        return row.means(exact(row, k))
    return row.means(refine(row, histogram(row, k)))


def _stored(table: Tensor) -> Tensor:
    """The table in the type it is stored in."""
    largest = table.abs().amax(1)
    fits = bool(largest.max() <= HALF.max) and bool(((largest >= HALF.smallest_normal) | (largest == 0)).all())
    return table.half() if fits else table
