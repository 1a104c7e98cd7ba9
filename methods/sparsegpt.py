"""SparseGPT: drop weights column after column, the columns still to come making good what was lost.

Frantar and Alistarh, arXiv 2301.00774. The walk of GPTQ with another treatment (``_restoration``): of every 128
columns, all rows together, the weights with the least w_ij^2 / [U_jj]^2 go (U: see there); with a pattern, of every run
of neighbours in a row. Masks are chosen when their columns' turn comes, from weights corrected up to there. With
``bits``, what is kept is rounded in the same walk, on grids fitted to the original weight; both losses are made good.

Differences from the authors' code: those of ``gptq`` that concern the walk (H weighs languages; silent channels are not
zeroed), and a block's later linears read what its pruned earlier ones make.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from methods._prune import PATTERNS, Stored, by_matrix, by_run, require_grid, require_sparsity, together
from methods._restoration import Factor, restore
from methods._sequential import Made, Sequence, compress_model, require_bool, require_damp
from methods._sparse_affine import MaskedAffineLinear
from methods.artifact import Writer
from methods.base import Calibration, Compressed, Compressor, Progress, Source, silent
from methods.gptq import Gptq, Rounding

SPAN = 128
"""Columns whose weights compete, unstructured."""


@dataclass(frozen=True)
class SparseGpt(Compressor):
    """Pruning that compensates, and rounds what it keeps in the same walk if asked."""

    needs: ClassVar[frozenset[str]] = frozenset({"gram"})

    sparsity: float = 0.5
    """Share of each linear's weights that goes."""
    pattern: str = "unstructured"
    """'unstructured', or '2:4', '4:8' and 'pairwise 4:8': so many of each run of neighbouring inputs."""
    bits: int = 0
    """Bits of each kept weight: 0 (16-bit floats), 2, 3, 4 or 8, rounded as GPTQ does."""
    granularity: str = "row"
    """With bits, what shares one scale: 'row', or 'group:SIZE' input channels."""
    symmetric: bool = False
    """With bits, whether the grid is centred on zero (and stores no zero points)."""
    search: bool = False
    """With bits, whether every grid's range is searched: smaller where that loses less."""
    true_sequential: bool = True
    """Whether a block's later linears are pruned on what its pruned earlier ones make."""
    damp: float = 0.01
    """Share of the mean squared input that is added to every channel's, above 0 and at most 1."""

    def __post_init__(self) -> None:
        require_sparsity(self.sparsity, self.pattern)
        require_grid(self.bits, self.granularity)
        for name in ("symmetric", "search", "true_sequential"):
            require_bool(name, getattr(self, name))
        require_damp(self.damp)

    def compress(
        self, source: Source, calibration: Calibration | None, folder: Path, progress: Progress = silent
    ) -> Compressed:
        if calibration is None:
            raise ValueError("sparsegpt needs calibration text: give the sweep a [calibration] section.")
        stored = Stored(self.pattern, self.bits, self.granularity)
        sequence = Sequence(
            name="sparsegpt",
            compress=lambda name, *given: self.compress_linear(*given),
            misfit=lambda rows, columns: stored.misfit(columns),
            damp=self.damp,
            act_order=False,
            true_sequential=self.true_sequential,
        )
        writer = Writer(folder, source, "sparsegpt", asdict(self), self.code, calibration)
        return compress_model(source, calibration, writer, sequence, progress)

    def compress_linear(self, weight: Tensor, bias: Tensor | None, factor: Factor) -> Made:
        """``weight`` float32 ``(rows, columns)``."""
        dropping = Dropping(self, weight, factor)
        restored = restore(weight, factor, dropping)
        if dropping.rounding is None:
            layer = Stored(self.pattern, 0, self.granularity).layer(restored.weight, bias)
        else:
            whole = dropping.rounding.layer(None)
            grid = (whole.bits, whole.group, whole.symmetric)
            layer = MaskedAffineLinear.holding(whole.affine(), *grid, bias, together(self.pattern))
        dropped = float((layer.dequantize() == 0).float().mean())
        return Made(layer, {"loss": restored.loss, "sparsity": dropped})


class Dropping:
    """The treatment of one weight: each column loses what its mask says, and what is left may be rounded."""

    def __init__(self, method: SparseGpt, weight: Tensor, factor: Factor) -> None:
        self.method, self.cost = method, factor.cost
        self.span = PATTERNS[method.pattern][1] if method.pattern in PATTERNS else min(SPAN, weight.shape[1])
        self.gone = torch.empty(weight.shape[1], len(weight), dtype=torch.bool, device=weight.device)
        self.rounding: Rounding | None = None
        if method.bits:
            options = {"act_order": False, "symmetric": method.symmetric, "search": method.search}
            self.rounding = Rounding(Gptq(method.bits, method.granularity, **options), weight, factor.order)

    def look(self, start: int, columns: Tensor) -> None:
        scores = columns.square() * self.cost[start : start + columns.shape[1]]  # cost = 1 / U_jj^2
        pattern = self.method.pattern
        gone = by_run(scores.sqrt(), pattern) if pattern in PATTERNS else by_matrix(scores, self.method.sparsity)
        self.gone[start : start + columns.shape[1]] = gone.T

    def treat(self, index: int, column: Tensor) -> Tensor:
        kept = column.masked_fill(self.gone[index], 0)
        return kept if self.rounding is None else self.rounding.treat(index, kept)
