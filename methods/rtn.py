"""Round to nearest: every linear layer of the decoder blocks on an affine grid, without calibration."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from methods import _walk
from methods._affine import misfit, parse_granularity
from methods._blocks import family
from methods._linear import AffineLinear
from methods._packing import BITS
from methods._shards import HEAD, Shards
from methods.artifact import Writer
from methods.base import Calibration, Compressed, Compressor, Progress, Source, silent


@dataclass(frozen=True)
class Rtn(Compressor):
    """Rounds each weight to the nearest point of its group's grid; the yardstick that needs no data."""

    bits: int = 4
    """Bits per weight: 2, 3, 4 or 8."""
    granularity: str = "group:128"
    """What shares one scale: 'group:SIZE' neighbouring input channels, or 'row'."""
    symmetric: bool = False
    """Whether the grid is centred on zero (and stores no zero points)."""

    def __post_init__(self) -> None:
        if self.bits not in BITS or isinstance(self.bits, bool):
            raise ValueError(f"bits={self.bits!r}: allowed are {', '.join(map(str, BITS))}.")
        if not isinstance(self.symmetric, bool):
            raise ValueError(f"symmetric={self.symmetric!r}: allowed are true and false.")
        parse_granularity(self.granularity)

    def compress(
        self, source: Source, calibration: Calibration | None, folder: Path, progress: Progress = silent
    ) -> Compressed:
        group = parse_granularity(self.granularity)
        shards = Shards(source.folder)
        stored = replace(source, dtype=shards.dtype)  # rounding reads the original's own numbers, whatever type runs
        names = family(source.config).linears
        writer = Writer(folder, source, "rtn", asdict(self), self.code)
        for block in _walk.walk(stored):
            if not writer.has_block(block.index):
                tensors, layers = block.tensors(), {}
                for name in (f"{block.prefix}.{linear}" for linear in names):
                    weight = tensors[f"{name}.weight"]
                    if reason := misfit(weight.shape[1], group):
                        writer.untouched(name, reason)
                        continue
                    del tensors[f"{name}.weight"]
                    bias = tensors.pop(f"{name}.bias", None)
                    layers[name] = AffineLinear.from_weight(weight, self.bits, group, self.symmetric, bias)
                writer.block(block.index, tensors, layers)
            progress("rounding blocks", block.index + 1, block.count)
        if HEAD in shards.names():
            writer.untouched(HEAD.removesuffix(".weight"), "embeddings and the head stay as they are")
        if not writer.has_rest():
            writer.rest(_walk.rest(stored))
        return writer.finish()
