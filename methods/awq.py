"""AWQ: scale the input channels that matter before rounding, then clip (Lin et al., arXiv 2306.00978).

A group of linears that read one input x compute W x = (W s)(x / s). Channels that are large on calibration text get a
large s, so that rounding costs them less; x / s is folded into whatever makes x (``_blocks``), so nothing is left to
do at run time. Then each row's groups are clipped where that costs less than it saves.

Differences from the authors' code: the range always holds 0 (``_affine``); clip losses are over all tokens by Gram
matrices, not 512 of them; weights are scaled and quantized in float32 from a copy; where a plain norm's folded gain
is rounded to its dtype, s is corrected so that the fold stays exact.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from methods._awq import finish, packed_blocks, require_valid, store
from methods.artifact import Writer
from methods.base import Calibration, Compressed, Compressor, Progress, Source, silent


@dataclass(frozen=True)
class Awq(Compressor):
    """Activation-aware rounding: scales and clips so that the channels calibration text uses most lose least."""

    code: ClassVar[int] = 2
    needs: ClassVar[frozenset[str]] = frozenset({"abs_mean", "gram"})

    bits: int = 4
    """Bits per weight: 2, 3, 4 or 8."""
    granularity: str = "group:128"
    """What shares one scale: 'group:SIZE' neighbouring input channels, or 'row'."""
    symmetric: bool = False
    """Whether the grid is centred on zero (and stores no zero points)."""
    grid: int = 20
    """Scales tried per group of linears; 1 tries only plain rounding."""
    clip: bool = True
    """Whether to cut off large weights where that costs less than it saves."""
    clip_grid: int = 10
    """Clip limits tried: 100%, 95%, 90% ... of the largest weight; at most 20."""
    weight_scaling: bool = False
    """Whether scales also look at the weights' own sizes (AutoAWQ's variant)."""
    search_tokens: int = 2048
    """Calibration tokens on which scales are compared: beginnings of all sequences. Mean sizes and clips use all."""

    def __post_init__(self) -> None:
        require_valid(self)

    def compress(
        self, source: Source, calibration: Calibration | None, folder: Path, progress: Progress = silent
    ) -> Compressed:
        if calibration is None:
            raise ValueError("awq needs calibration text: give the sweep a [calibration] section.")
        writer = Writer(folder, source, "awq", asdict(self), self.code, calibration)
        for packed in packed_blocks(self, source, calibration, writer, progress):
            store(writer, packed)
        return finish(writer, source)
