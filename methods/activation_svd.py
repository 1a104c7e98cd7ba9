"""Activation-aware SVD: each linear becomes two of lower rank that make nearly the same outputs from real inputs.

A text's first token is one of hundreds in the mean over tokens, but all others attend to it (Xiao et al., arXiv
2309.17453), so what is wrong in its key and value is wrong everywhere: ``sink`` counts it again. With 0, the metric is
SVD-LLM's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from methods._anchored import factorise_anchored
from methods._factorise import Metric, factorise, ranks_of
from methods._lowrank import damped
from methods._moments import Moments, gather
from methods._selected import Recipe, Unit, require_number, select
from methods.artifact import Writer
from methods.base import Calibration, Compressed, Compressor, Progress, Source, silent


@dataclass(frozen=True)
class ActivationSvd(Compressor):
    """Truncates where the outputs on calibration text, and of its first token, lose least (SVD-LLM, no inverse)."""

    needs: ClassVar[frozenset[str]] = frozenset({"gram64", "mean", "first"})

    keep: float = 0.8
    """Share of the parameters that is kept, above 0 and below 1."""
    keep_of: str = "selected"
    """What 'keep' is a share of: the 'selected' linears' parameters, or all of the 'model'."""
    scope: str = "all_linear"
    """Which linears of the decoder blocks: 'attention' (q, k, v, o) or 'all_linear'."""
    allocation: str = "uniform"
    """'uniform': every linear keeps the same share; 'loss': ranks go where truncating costs most."""
    stack: bool = False
    """Whether q, k, v and gate, up are factorised together and share their first factor."""
    centred: bool = False
    """Whether inputs are centred: linears gain a bias that keeps their mean output."""
    anchored: bool = False
    """Whether each linear reads what the blocks compressed before it make, and is fitted to the original's output."""
    sink: float = 1.0
    """Weight of each sequence's first token, on which attention leans, beside a weight of 1 of all tokens together."""
    spare: float = 0.0
    """Share of each rank that goes to a plain SVD of what is left (NSVD), against text unlike the calibration's."""
    damping: float = 1e-6
    """Added to the inputs' second moment, times its mean diagonal; the larger, the nearer to plain SVD."""
    rank_multiple: int = 16
    """Ranks are rounded down to a multiple of this."""
    min_break_even: int = 0
    """Linears whose break-even rank, out * in / (out + in), is below this stay dense."""
    bits: int = 0
    """Bits of the factors' weights: 0 (16-bit floats), 2, 3, 4 or 8."""
    granularity: str = "group:128"
    """With bits: what shares one scale, 'group:SIZE' neighbouring input channels, or 'row'."""

    def __post_init__(self) -> None:
        self._recipe()
        for name in ("centred", "anchored"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r}: allowed are true and false.")
        if self.centred and self.anchored:
            raise ValueError("centred=true and anchored=true do not go together: choose one.")
        require_number("damping", self.damping, "from 0", lambda value: value >= 0)
        require_number("sink", self.sink, "from 0", lambda value: value >= 0)

    def compress(
        self, source: Source, calibration: Calibration | None, folder: Path, progress: Progress = silent
    ) -> Compressed:
        if calibration is None:
            raise ValueError("activation_svd needs calibration text: give the sweep a [calibration] section.")
        selection = select(source, self._recipe())
        needs = {"gram64"} | ({"mean"} if self.centred else set()) | ({"first"} if self.sink else set())
        moments = gather(source, calibration, needs, progress)
        writer = Writer(folder, source, "activation_svd", asdict(self), self.code, calibration)

        def metrics(unit: Unit, weight: Tensor) -> Metric:
            return self._metric(moments, unit, weight)

        if not self.anchored:
            return factorise(writer, source, selection, metrics, progress)
        ranks = ranks_of(source, selection, metrics, progress)
        return factorise_anchored(writer, source, selection, ranks, calibration, self.damping, self.sink, progress)

    def _metric(self, moments: Moments, unit: Unit, weight: Tensor) -> Metric:
        """Of the inputs on calibration text, its first tokens counted anew with the weight ``sink``."""
        gram = moments.second_moment(unit.block, unit.group)
        mean = moments.mean(unit.block, unit.group) if self.centred else None
        if self.sink:
            share = self.sink / (1 + self.sink)
            first_gram, first_mean = moments.first(unit.block, unit.group)
            gram, mean = gram.lerp(first_gram, share), None if mean is None else mean.lerp(first_mean, share)
        gram = gram.to(weight.device)
        if mean is None:
            return Metric(damped(gram, self.damping))
        mean = mean.to(weight.device)
        return Metric(damped(gram - torch.outer(mean, mean), self.damping), mean=mean)

    def _recipe(self) -> Recipe:
        own = ("centred", "anchored", "damping", "sink")
        return Recipe(**{name: value for name, value in asdict(self).items() if name not in own})
