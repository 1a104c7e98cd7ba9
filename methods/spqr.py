"""SpQR: small groups with quantized scales, and the few weights that no grid fits kept aside (arXiv 2306.03078).

Rounding compensates as in GPTQ (``_restoration``). Groups are of 16 channels; their scales and zeros are quantized to
3 bits in tiles of 16 rows. A weight is kept aside in 16 bits when rounding it would cost more than a threshold; grids
are fitted without the weights that look like that (Dettmers et al., SpQR, sections 3 and 4; code: Vahe1994/SpQR).

Differences from the authors' code: ranges hold 0, so that no zero can wreck the grid of its tile's other zeros; a group
of zeros takes its tile's least scale; channels silent on calibration text are rounded and not zeroed; H weighs
languages, not sequences.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from methods._affine import misfit, parse_granularity
from methods._bilevel import Bilevel, BilevelLinear, Statistic, dequantize_statistic, quantize_statistic
from methods._packing import BITS
from methods._restoration import Factor, restore
from methods._sequential import Found, Made, Sequence, compress_model, require_bool, require_damp
from methods._sparse import to_sparse
from methods.artifact import Writer
from methods.base import Calibration, Compressed, Compressor, Progress, Source, silent

SCRATCH = 2**23
"""Numbers that leaving out each weight of a group once may take at a time."""


@dataclass(frozen=True)
class Spqr(Compressor):
    """Rounding that compensates, on small groups with quantized scales; costly weights are kept aside."""

    needs: ClassVar[frozenset[str]] = frozenset({"gram"})

    bits: int = 3
    """Bits per weight, before scales, zeros and what is kept aside: 2, 3, 4 or 8."""
    granularity: str = "group:16"
    """What shares one scale: 'group:SIZE' input channels."""
    statistic_bits: int = 3
    """Bits of a group's scale, and of its zero: 2, 3, 4 or 8."""
    tile: int = 16
    """Rows whose scales share a second-level grid."""
    outliers: bool = True
    """Whether weights are kept aside."""
    outlier_threshold: float = 0.2
    """What rounding a weight may cost, as a share of what dropping an average one would."""
    act_order: bool = True
    """Whether channels with the largest inputs are rounded first; groups form in that order."""
    true_sequential: bool = False
    """Whether a block's later linears are rounded on what its rounded earlier ones make."""
    damp: float = 1.0
    """Share of the mean squared input that is added to every channel's, above 0 and at most 1."""

    def __post_init__(self) -> None:
        for name in ("bits", "statistic_bits"):
            if getattr(self, name) not in BITS or isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r}: allowed are {', '.join(map(str, BITS))}.")
        if (parse_granularity(self.granularity) or 1) < 2:
            raise ValueError(f"granularity={self.granularity!r}: allowed is 'group:SIZE' from 2, such as 'group:16'.")
        if not isinstance(self.tile, int) or isinstance(self.tile, bool) or self.tile < 2:
            raise ValueError(f"tile={self.tile!r}: allowed are whole numbers from 2.")
        for name in ("outliers", "act_order", "true_sequential"):
            require_bool(name, getattr(self, name))
        threshold = self.outlier_threshold
        if not isinstance(threshold, int | float) or isinstance(threshold, bool) or not 0 < threshold < float("inf"):
            raise ValueError(
                f"outlier_threshold={threshold!r}: allowed are numbers above 0; outliers=false keeps none."
            )
        require_damp(self.damp)

    @property
    def group(self) -> int:
        return parse_granularity(self.granularity) or 0

    def compress(
        self, source: Source, calibration: Calibration | None, folder: Path, progress: Progress = silent
    ) -> Compressed:
        if calibration is None:
            raise ValueError("spqr needs calibration text: give the sweep a [calibration] section.")
        sequence = Sequence(
            name="spqr",
            compress=lambda name, *given: self.compress_linear(*given),
            misfit=self.misfit,
            damp=self.damp,
            act_order=self.act_order,
            true_sequential=self.true_sequential,
            notes=kept_aside if self.outliers else lambda found: {},
        )
        writer = Writer(folder, source, "spqr", asdict(self), self.code, calibration)
        return compress_model(source, calibration, writer, sequence, progress)

    def misfit(self, rows: int, columns: int) -> str | None:
        """Why a weight of this shape stays as it is; None when it does not."""
        if rows % self.tile:
            return f"tiles of {self.tile} do not divide its {rows} rows"
        return misfit(columns, self.group)

    def compress_linear(self, weight: Tensor, bias: Tensor | None, factor: Factor) -> Made:
        """``weight`` float32 ``(rows, columns)``."""
        rounding = BilevelRounding(self, weight, factor)
        restored = restore(weight, factor, rounding)
        found = {"loss": restored.loss, "outliers": float(rounding.outlier.float().mean())}
        layer = BilevelLinear.from_bilevel(rounding.bilevel(), self.bits, self.statistic_bits, bias)
        return Made(layer, found)


def kept_aside(found: Found) -> dict[str, str]:
    """The note on what is kept aside."""
    shares = [told["outliers"] for told in found.values()]
    if not shares:
        return {}
    mean = sum(shares) / len(shares)
    ends = f"{min(shares):.2%} to {max(shares):.2%}"
    return {"outliers": f"{mean:.2%} of a linear's weights are kept aside, the mean over linears ({ends})"}


class BilevelRounding:
    """The treatment of one weight: each column onto the grid of its group, costly weights aside."""

    def __init__(self, method: Spqr, weight: Tensor, factor: Factor) -> None:
        self.method, self.cost, self.order = method, factor.cost, factor.order
        self.span, self.levels = method.group, 2**method.bits - 1
        dropping = weight[:, factor.order].var(0) * factor.cost  # what each column's weights cost on average
        self.threshold = method.outlier_threshold * float(dropping.mean())
        self.codes = torch.empty(weight.shape[::-1], dtype=torch.uint8, device=weight.device)
        self.outlier = torch.zeros_like(self.codes, dtype=torch.bool)
        self.aside = torch.zeros_like(self.codes, dtype=torch.float32)
        self.statistics: list[tuple[Statistic, Statistic]] = []

    def look(self, start: int, columns: Tensor) -> None:
        """Fit the group's grid, without the weights that look like outliers."""
        if self.method.outliers:
            cost = self.cost[start : start + self.span]
            ordinary = gains(columns, cost, self.levels) <= self.threshold
            mean = (columns * ordinary).sum(1, keepdim=True) / ordinary.sum(1, keepdim=True).clamp(min=1)
            columns = torch.where(ordinary, columns, mean)
        bits, tile = self.method.statistic_bits, self.method.tile
        low, scale = spread(columns, self.levels)
        scale = positive(scale, tile)
        scales, zeros = (quantize_statistic(values, bits, tile) for values in (scale, -low / scale))
        self.scale, self.zero = dequantize_statistic(scales), dequantize_statistic(zeros)
        self.statistics.append((scales, zeros))

    def treat(self, index: int, column: Tensor) -> Tensor:
        code = (column.unsqueeze(1) / self.scale).add_(self.zero).round_().clamp_(0, self.levels)
        self.codes[index] = code[:, 0]
        value = code.sub_(self.zero).mul_(self.scale)[:, 0]
        if not self.method.outliers:
            return value
        error = column - value
        self.outlier[index] = error.square() * self.cost[index] > self.threshold
        self.aside[index] = error
        return torch.where(self.outlier[index], column, value)

    def bilevel(self) -> Bilevel:
        """What is stored. What is kept aside is the difference to the grid, rounded to 16 bits only here."""
        scale, zero = (
            Statistic(*(torch.cat(parts, 1) for parts in zip(*statistic, strict=True)))
            for statistic in zip(*self.statistics, strict=True)
        )
        back = self.order.argsort()
        group_of = back // self.span if self.method.act_order else None
        aside = to_sparse(self.aside[back].T, self.outlier[back].T) if self.method.outliers else None
        return Bilevel(self.codes[back].T.contiguous(), scale, zero, group_of, aside)


def spread(columns: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Lowest end and step of a grid over the last dimension, kept as one of size 1; the range holds 0."""
    low, high = columns.amin(-1, keepdim=True).clamp_(max=0), columns.amax(-1, keepdim=True).clamp_(min=0)
    return low, (high - low) / levels


def positive(scale: Tensor, tile: int) -> Tensor:
    """``(rows, 1)``; a group of zeros takes its tile's least scale, which leaves the tile's grid as it was."""
    tiles = scale.view(-1, tile)
    least = torch.where(tiles > 0, tiles, torch.inf).amin(1, keepdim=True)
    return torch.where(tiles > 0, tiles, torch.where(least.isinf(), 1.0, least)).view_as(scale)


def gains(columns: Tensor, cost: Tensor, levels: int) -> Tensor:
    """``(rows, size)``: how much less the group ``columns (rows, size)`` costs if one weight is left out.

    The grid is fitted to the others each time, scales and zeros unrounded; ``cost (size,)`` weighs squared errors.
    """

    def losses(weights: Tensor, costs: Tensor) -> Tensor:
        low, scale = spread(weights, levels)
        scale = torch.where(scale == 0, 1.0, scale)
        error = ((weights - low) / scale).round_().mul_(scale).add_(low).sub_(weights)
        return error.square_().mul_(costs).sum(-1)

    size = columns.shape[1]
    others = torch.arange(size, device=columns.device).expand(size, size)[~torch.eye(size, dtype=torch.bool)]
    others = others.view(size, size - 1)
    parts = columns.split(max(1, SCRATCH // size**2))
    without = torch.cat([losses(part[:, others], cost[others]) for part in parts])
    return losses(columns, cost).unsqueeze(1) - without
