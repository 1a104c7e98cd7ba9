"""Optimal Brain Restoration: closed forms that move what pruning and rounding destroy onto the weights that are left.

Legend: ``W (rows, n)`` the weight, ``H (n, n)`` the mean of x x' over the inputs x it reads, damped. Rows do not see
each other: each loses (w - q) H (w - q)'. When a row's weights in E change by d_E, those in F lose least if they

    change by   x_F = - H_FF^-1 H_FE d_E                              (*)

    restoration     E: pruned, d_E = -w_E                     F: all that is kept
    compensation    E: kept, in the first alpha n columns,    F: kept, in the other columns
                    d_E = Q(w_E) - w_E

and then everything is rounded (``rtn``), or the columns of F by GPTQ under the mask (``gptq``), as the authors do.

Source: Guo et al., arXiv 2509.11177, and its code. Its Algorithm 1 prints (*) with b = H w_E and a minus, which is the
wrong way round; its code has the sign of (*). Two solvers: Cholesky factors of every row's H_FF, in batches, exact; or
conjugate gradients on all rows at once, x restricted to F by a mask, preconditioned by H's diagonal: per step one
product with H, cheaper where n is large.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from methods._affine import Affine
from methods._restoration import Factor, restore
from methods.gptq import fit

Solver = Literal["cholesky", "gradients"]

BATCH_BYTES = 2**28
"""What the matrices H_FF of one batch may take; solving takes up to four times that."""
BATCH_ROWS = 1024
"""Rows that take gradient steps together."""
STEPS = 400
"""Gradient steps after which a row is solved by its Cholesky factor."""
TOLERANCE = 1e-4
"""Residual, in the norm of the preconditioner, as a share of its beginning, at which a row is done."""
LARGE = 256
"""Free weights of a row beyond which gradients are cheaper (benchmarks/obr.py)."""


class Grid(NamedTuple):
    """Symmetric grids of one weight, as stored; zero is a value of each."""

    scale: Tensor
    """``(rows, groups)``"""
    bits: int
    group: int
    """Columns that share a scale."""

    @classmethod
    def fitted(cls, weight: Tensor, bits: int, group: int | None) -> Grid:
        """To ``weight (rows, n)``: each range is shrunk to where the sum of |error|^2.4 is least."""
        group = group or weight.shape[1]
        parts = [fit(part, bits, True, True)[0] for part in weight.split(group, 1)]
        return cls(torch.cat(parts, 1), bits, group)

    def round(self, weight: Tensor, start: int = 0) -> Tensor:
        """Columns ``start`` ... of a weight, ``(rows, any)``, each at the nearest value of its grid."""
        steps, scale = self._steps(weight, start)
        return steps.mul_(scale)

    def affine(self, weight: Tensor) -> Affine:
        """A whole weight's codes, for storing."""
        middle = 2 ** (self.bits - 1)
        codes = self._steps(weight, 0)[0].add_(middle).to(torch.uint8)
        return Affine(codes, self.scale, torch.full_like(self.scale, middle, dtype=torch.uint8))

    def _steps(self, weight: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """How many steps from zero, and the scale of each column."""
        groups = torch.arange(start, start + weight.shape[1], device=weight.device) // self.group
        scale, low = self.scale[:, groups].float(), -(2 ** (self.bits - 1))
        return (weight / scale).round_().clamp_(low, -low - 1), scale


def answer(hessian: Tensor, change: Tensor, free: Tensor, solver: Solver | None = None) -> Tensor:
    """(*): ``(rows, n)``, zero outside ``free``; ``change (rows, n)``, zero inside it. ``None``: chosen by size."""
    target = -(change @ hessian) * free
    if (solver or chosen(free)) == "cholesky":
        return by_cholesky(hessian, target, free)
    return by_gradients(hessian, target, free)


def chosen(free: Tensor) -> Solver:
    """The cheaper solver for ``free``, bool ``(rows, n)``."""
    return "cholesky" if int(free.sum(1).max()) <= LARGE else "gradients"


def by_cholesky(hessian: Tensor, target: Tensor, free: Tensor) -> Tensor:
    """x, zero outside ``free``, with (x H)_F = target_F in every row."""
    found = torch.zeros_like(target)
    counts = free.sum(1)
    order = counts.argsort(descending=True, stable=True)  # rows of like counts together: little to fill
    first = 0
    while first < len(order) and (size := int(counts[order[first]])):
        rows = order[first : first + max(1, BATCH_BYTES // (4 * size * size))]
        first += len(rows)
        place = free[rows].byte().argsort(dim=1, descending=True, stable=True)[:, :size]
        real = torch.arange(size, device=place.device) < counts[rows][:, None]
        part = hessian[place[:, :, None], place[:, None, :]]
        if not bool(real.all()):  # the places beyond a row's own become an identity
            part.mul_(real[:, :, None] & real[:, None, :]).diagonal(dim1=1, dim2=2).add_((~real).to(part))
        wanted = target[rows].gather(1, place) * real
        solved = torch.cholesky_solve(wanted[:, :, None], torch.linalg.cholesky(part))[:, :, 0]
        found[rows] = torch.zeros_like(target[rows]).scatter_(1, place, solved * real)
    return found


def by_gradients(hessian: Tensor, target: Tensor, free: Tensor) -> Tensor:
    """As ``by_cholesky``, up to ``TOLERANCE``; rows that do not get there in ``STEPS`` are solved by it."""
    found = torch.zeros_like(target)
    inverse = 1 / hessian.diagonal()
    for first in range(0, len(target), BATCH_ROWS):
        left = torch.arange(first, min(first + BATCH_ROWS, len(target)), device=target.device)
        mask, residual = free[left], target[left].clone()
        x, step = torch.zeros_like(residual), residual * inverse
        energy = (residual * step).sum(1)
        goal = energy * TOLERANCE**2
        for _ in range(STEPS):
            going = energy > goal
            if not bool(going.all()):
                found[left[~going]] = x[~going]
                left, mask, residual, x, step = (part[going] for part in (left, mask, residual, x, step))
                energy, goal = energy[going], goal[going]
                if not len(left):
                    break
            product = (step @ hessian) * mask
            length = (energy / (step * product).sum(1))[:, None]
            x.addcmul_(length, step)
            residual.addcmul_(length, product, value=-1)
            turned = residual * inverse
            before, energy = energy, (residual * turned).sum(1)
            step = turned.addcmul_((energy / before)[:, None], step)
        if len(left):
            found[left] = by_cholesky(hessian, target[left], free[left])
    return found


def restored(weight: Tensor, hessian: Tensor, kept: Tensor, solver: Solver | None = None) -> Tensor:
    """``weight`` without what is not ``kept``, bool ``(rows, n)``, the rest changed so that least is lost."""
    change = weight.masked_fill(kept, 0).neg_()
    return weight + change + answer(hessian, change, kept, solver)


def rounded(
    weight: Tensor, factor: Factor, kept: Tensor, grid: Grid, alpha: float, gptq: bool, solver: Solver | None = None
) -> Tensor:
    """``weight``, restored, on its grid: errors of the first ``alpha n`` columns made good by the others.

    ``factor``: of H, in the columns' own order.
    """
    columns = weight.shape[1]
    split = int(alpha * columns)
    result = grid.round(weight)
    later = kept.clone()
    later[:, :split] = False
    change = torch.zeros_like(weight)
    change[:, :split] = result[:, :split] - weight[:, :split]
    if 0 < split < columns:
        weight = weight + answer(factor.hessian, change, later, solver)
    if not gptq or split == columns:
        result[:, split:] = grid.round(weight[:, split:], split)
        return result
    tail = Factor(factor.feedback[split:, split:], factor.cost[split:], factor.order[: columns - split], factor.damp)
    result[:, split:] = restore(weight[:, split:], tail, UnderMask(grid, kept, split)).weight
    return result


class UnderMask:
    """The treatment of GPTQ's columns: what picked up something where nothing is kept is zero again."""

    def __init__(self, grid: Grid, kept: Tensor, start: int) -> None:
        self.grid, self.kept, self.start = grid, kept, start
        self.span = kept.shape[1] - start

    def look(self, start: int, columns: Tensor) -> None:
        """Grids and mask are settled."""

    def treat(self, index: int, column: Tensor) -> Tensor:
        index += self.start
        return self.grid.round(column[:, None], index)[:, 0] * self.kept[:, index]
