"""Closed-form compensation: change a weight column by column, and let the columns still to come make the loss good.

Legend: ``W (rows, columns)`` the weight, ``Q`` what becomes of it; ``H (columns, columns)`` the mean of x x' over the
inputs x it reads; ``R`` upper triangular with R R' = H; ``V = R / diag(R)`` by columns, so that diag(V) = 1.

    loss(Q) = mean over tokens of |W x - Q x|^2 = tr((W - Q) H (W - Q)') = sum over j of R_jj^2 |c_j - q_j|^2
    c_j     = w_j + sum over k < j of (w_k - q_k) V_kj

``c_j`` is the column that loses least, given what the columns before it have become; ``q_j`` is what a *treatment*
makes of it: rounding (GPTQ, SpQR) or dropping (SparseGPT). Rows do not see each other.

Source: Frantar et al., GPTQ, arXiv 2210.17323, section 3, and SparseGPT, arXiv 2301.00774. They walk with U, the upper
Cholesky factor of H^-1, and subtract e U_jk from later columns, e = (c_j - q_j) / U_jj. U = R^-1, so U_jj = 1 / R_jj
and the columns are the same (Chee et al., QuIP, arXiv 2307.13304, section 3.2); R needs one factorization where U
needs two and an inverse, and a column is corrected when its turn comes, so that nothing is ever stale.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

BLOCK = 128
"""Columns whose corrections by all columns before them are computed in one product."""
TRIES = 3
"""Dampings tried: the one asked for, then ten times as much each time."""


class Factor(NamedTuple):
    """What compensation needs to know of H. One serves every linear that reads the same input."""

    feedback: Tensor
    """V, float32 ``(columns, columns)``, columns in ``order``."""
    cost: Tensor
    """``(columns,)``: R_jj^2, what a unit of squared change in a column costs; in ``order``."""
    order: Tensor
    """int64 ``(columns,)``: the column that is treated first, second ..."""
    damp: float
    """What was added to H's diagonal, as a share of its mean."""

    @property
    def hessian(self) -> Tensor:
        """H as it was factorized: damped, float32 ``(columns, columns)``, in ``order``; computed anew."""
        return (self.feedback * self.cost) @ self.feedback.T


class Treatment(Protocol):
    """What is done to each column. Columns are numbered in the order of treatment."""

    span: int
    """Columns that are looked at together before the first of them is treated."""

    def look(self, start: int, columns: Tensor) -> None:
        """``columns`` float32 ``(rows, at most span)``: what columns ``start`` ... are now, all corrections made."""
        ...

    def treat(self, index: int, column: Tensor) -> Tensor:
        """What becomes of column ``index``; ``column (rows,)`` is not to be written to."""
        ...


class Restored(NamedTuple):
    """A treated weight."""

    weight: Tensor
    """float32 ``(rows, columns)``, columns where they were."""
    loss: float
    """tr((W - Q) H (W - Q)') / rows, the damping's share included."""


def factorize(hessian: Tensor, damp: float, act_order: bool = False) -> Factor:
    """The factor of ``hessian + damp * mean(diag)``; ``act_order`` treats columns of a large diagonal first.

    A channel whose input is always zero neither gives nor takes corrections: it is treated as it stands. (GPTQ's code
    zeroes its weights; but what is silent on this text may speak in another language.)
    Raises ValueError where H is not finite, or not positive definite after ``TRIES`` dampings.
    """
    diagonal = hessian.diagonal()
    if not bool(torch.isfinite(hessian).all()):
        raise ValueError("the mean of x x' over its inputs is not finite; try dtype bfloat16 or float32")
    ascending = torch.arange(len(hessian), device=hessian.device)
    order = diagonal.argsort(descending=True, stable=True) if act_order else ascending
    backwards = order.flip(0)
    damped = hessian[backwards[:, None], backwards]
    mean = float(diagonal.mean()) or 1.0
    tried = [damp * 10**times for times in range(TRIES)]
    for share in tried:
        damped.diagonal().copy_(diagonal[backwards] + share * mean)
        lower, failed = torch.linalg.cholesky_ex(damped)
        if not failed:
            break
    else:
        shares = ", ".join(f"{share:g}" for share in tried)
        raise ValueError(
            f"the mean of x x' over its inputs is not positive definite, even with {shares} times the mean of its "
            "diagonal added; use more calibration tokens or a larger damp"
        )
    upper = lower.flip(0, 1)  # backwards, a lower triangle is an upper one
    roots = upper.diagonal()
    return Factor(upper / roots, roots.square(), order, share)


def restore(weight: Tensor, factor: Factor, treatment: Treatment, block: int = BLOCK) -> Restored:
    """Treat every column of ``weight (rows, columns)``, float32, in ``factor.order``.

    ``block`` changes the time and not the result (but for rounding errors); blocks are made to hold whole spans.
    """
    feedback, order = factor.feedback, factor.order
    columns, span = weight.shape[1], treatment.span
    if span < columns:
        block = span * max(1, block // span)
    work = weight[:, order].T.contiguous()  # (columns, rows): w, and q once it is settled
    change = torch.zeros_like(work)  # w - q
    loss = 0.0
    for begin in range(0, columns, block):
        end = min(begin + block, columns)
        moved = torch.addmm(work[begin:end], feedback[:begin, begin:end].T, change[:begin])  # by the blocks before
        for j in range(begin, end):
            if j % span == 0:
                treatment.look(j, _fresh(j, begin, work, change, moved, feedback, span).T)
            column = moved[j - begin].addmv_(change[begin:j].T, feedback[begin:j, j])  # c
            treated = treatment.treat(j, column)
            torch.sub(work[j], treated, out=change[j])
            work[j] = treated
            column.sub_(treated)  # c - q: what this column costs
        loss += float((moved.square_().sum(1) * factor.cost[begin:end]).sum())
    result = torch.empty_like(weight)
    result[:, order] = work.T
    return Restored(result, loss / len(weight))


def _fresh(j: int, begin: int, work: Tensor, change: Tensor, moved: Tensor, feedback: Tensor, span: int) -> Tensor:
    """``(at most span, rows)``: columns j ... as they lose least when only the columns before j are settled.

    Were they left like that, x_k - w_k = (c_k - w_k by the columns before j) - sum over j <= i < k of (x_i - w_i) V_ik.
    """
    if j == 0:
        return work[:span]
    here = slice(j, min(j + span, begin + len(moved)))
    settled = moved[here.start - begin : here.stop - begin] - work[here]
    settled += feedback[begin:j, here].T @ change[begin:j]
    lower = feedback[here, here].T
    return work[here] + torch.linalg.solve_triangular(lower, settled, upper=False, unitriangular=True)
