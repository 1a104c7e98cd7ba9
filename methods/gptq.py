"""GPTQ: round column after column, each making good what the columns before it lost (Frantar et al., arXiv 2210.17323).

A group of linears that read one input x is rounded so that W x changes least on calibration text, in closed form
(``_restoration``); every block reads what the compressed blocks before it make (``_sequential``).

Differences from the authors' code: a group's grid is fitted to its columns as they are at that moment (theirs misses
the corrections of its block of 128, so groups under 128 are fitted to stale values); columns are rounded against the
scale as stored; H weighs languages, not sequences; channels silent on calibration text are rounded and not zeroed;
linears that read one input share one factorization.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from methods._affine import Affine, fake, misfit, parse_granularity, quantize
from methods._indexed import IndexedLinear
from methods._linear import AffineLinear
from methods._packing import BITS
from methods._restoration import Factor, restore
from methods._sequential import Made, Sequence, compress_model, require_bool, require_damp
from methods.artifact import Writer
from methods.base import Calibration, Compressed, Compressor, Progress, Source, silent

SHRINK, STEP, NORM = 80, 0.01, 2.4
"""The search of the authors' code: ranges of 100%, 99% ... 21%, the least sum of |error|^2.4."""


@dataclass(frozen=True)
class Gptq(Compressor):
    """Rounding that compensates: the columns still to come make good what rounding a column loses."""

    needs: ClassVar[frozenset[str]] = frozenset({"gram"})

    bits: int = 4
    """Bits per weight: 2, 3, 4 or 8."""
    granularity: str = "group:128"
    """What shares one scale: 'group:SIZE' input channels, or 'row'."""
    symmetric: bool = False
    """Whether the grid is centred on zero (and stores no zero points)."""
    act_order: bool = True
    """Whether channels with the largest inputs are rounded first."""
    static_groups: bool = True
    """Whether groups are neighbours with grids fitted beforehand; else they form as channels are rounded."""
    true_sequential: bool = True
    """Whether a block's later linears are rounded on what its rounded earlier ones make."""
    damp: float = 0.01
    """Share of the mean squared input that is added to every channel's, above 0 and at most 1."""
    search: bool = False
    """Whether every grid's range is searched: smaller where that loses less."""

    def __post_init__(self) -> None:
        if self.bits not in BITS or isinstance(self.bits, bool):
            raise ValueError(f"bits={self.bits!r}: allowed are {', '.join(map(str, BITS))}.")
        parse_granularity(self.granularity)
        for name in ("symmetric", "act_order", "static_groups", "true_sequential", "search"):
            require_bool(name, getattr(self, name))
        require_damp(self.damp)

    def compress(
        self, source: Source, calibration: Calibration | None, folder: Path, progress: Progress = silent
    ) -> Compressed:
        if calibration is None:
            raise ValueError("gptq needs calibration text: give the sweep a [calibration] section.")
        group = parse_granularity(self.granularity)
        sequence = Sequence(
            name="gptq",
            compress=lambda name, *given: self.compress_linear(*given),
            misfit=lambda rows, columns: misfit(columns, group),
            damp=self.damp,
            act_order=self.act_order,
            true_sequential=self.true_sequential,
        )
        writer = Writer(folder, source, "gptq", asdict(self), self.code, calibration)
        return compress_model(source, calibration, writer, sequence, progress)

    def compress_linear(self, weight: Tensor, bias: Tensor | None, factor: Factor) -> Made:
        """``weight`` float32 ``(rows, columns)``."""
        rounding = Rounding(self, weight, factor.order)
        restored = restore(weight, factor, rounding)
        return Made(rounding.layer(bias), {"loss": restored.loss})


class Rounding:
    """The treatment of one weight: each column onto the grid of its group."""

    def __init__(self, method: Gptq, weight: Tensor, order: Tensor) -> None:
        self.method, self.order = method, order
        self.group = parse_granularity(method.granularity)
        rows, columns = weight.shape
        self.span = self.group or columns
        self.codes = torch.empty(columns, rows, dtype=torch.uint8, device=weight.device)
        self.grids: list[tuple[Tensor, Tensor]] = []  # as stored
        self.ready: list[tuple[Tensor, Tensor]] = []  # the same as float32 (rows,)
        self.formed = self.group is not None and not method.static_groups  # groups form as columns come
        groups = (torch.arange(columns, device=order.device) if self.formed else order) // self.span
        self.group_at: list[int] = groups.tolist()
        if not self.formed:
            for part in weight.split(self.span, 1):
                self._add_grid(part)

    def _add_grid(self, columns: Tensor) -> None:
        scale, zero = fit(columns, self.method.bits, self.method.symmetric, self.method.search)
        self.grids.append((scale, zero))
        self.ready.append((scale[:, 0].float(), zero[:, 0].float()))

    def look(self, start: int, columns: Tensor) -> None:
        if self.formed:
            self._add_grid(columns)

    def treat(self, index: int, column: Tensor) -> Tensor:
        scale, zero = self.ready[self.group_at[index]]
        code = (column / scale).round_().add_(zero).clamp_(0, 2**self.method.bits - 1)
        self.codes[index] = code
        return code.sub_(zero).mul_(scale)

    def layer(self, bias: Tensor | None) -> AffineLinear:
        """What is stored."""
        codes = torch.empty_like(self.codes.T, memory_format=torch.contiguous_format)
        codes[:, self.order] = self.codes.T
        affine = Affine(codes, *(torch.cat(parts, 1) for parts in zip(*self.grids, strict=True)))
        bits, symmetric = self.method.bits, self.method.symmetric
        if not self.formed or not self.method.act_order:
            return AffineLinear.from_affine(affine, bits, self.group, symmetric, bias)
        group_of = torch.empty_like(self.order)
        group_of[self.order] = torch.arange(len(group_of), device=group_of.device) // self.span
        return IndexedLinear.from_index(affine, group_of, bits, self.span, symmetric, bias)


def fit(columns: Tensor, bits: int, symmetric: bool, search: bool) -> tuple[Tensor, Tensor]:
    """Scale as stored and zero, each ``(rows, 1)``, of one group of columns ``(rows, size)``."""
    if not search:
        return quantize(columns, bits, None, symmetric)[1:]
    low, high = columns.amin(1, keepdim=True).clamp_(max=0), columns.amax(1, keepdim=True).clamp_(min=0)
    least, kept = torch.full_like(low, torch.inf), torch.ones_like(low)
    for step in range(SHRINK):
        share = 1 - STEP * step
        loss = fake(columns, bits, None, symmetric, share * low, share * high).sub_(columns).abs_().pow_(NORM)
        total = loss.sum(1, keepdim=True)
        least, kept = torch.minimum(least, total), torch.where(total < least, share, kept)
    return quantize(columns, bits, None, symmetric, kept * low, kept * high)[1:]
