"""Magnitude pruning: the smallest weights of every linear go; the pruning yardstick that needs no data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import Tensor

from methods._blocks import family
from methods._prune import Stored, by_matrix, by_run, prune_block, require_grid, require_sparsity
from methods._shards import HEAD, Shards
from methods._walk import rest, walk
from methods.artifact import Writer
from methods.base import Calibration, Compressed, Compressor, Progress, Source, silent


@dataclass(frozen=True)
class Magnitude(Compressor):
    """Sets the smallest weights of each matrix to zero (Han et al.; the baseline of SparseGPT and Wanda)."""

    sparsity: float = 0.5
    """Share of each linear's weights that goes."""
    pattern: str = "unstructured"
    """'unstructured', or '2:4', '4:8' and 'pairwise 4:8': so many of each run of neighbouring inputs."""
    bits: int = 0
    """Bits of each kept weight: 0 (16-bit floats), 2, 3, 4 or 8, rounded to the nearest."""
    granularity: str = "row"
    """With bits, what shares one scale: 'row', or 'group:SIZE' input channels."""

    def __post_init__(self) -> None:
        require_sparsity(self.sparsity, self.pattern)
        require_grid(self.bits, self.granularity)

    def compress(
        self, source: Source, calibration: Calibration | None, folder: Path, progress: Progress = silent
    ) -> Compressed:
        shards = Shards(source.folder)
        original = replace(source, dtype=shards.dtype)  # pruning reads the original's own numbers, whatever type runs
        writer = Writer(folder, source, "magnitude", asdict(self), self.code)
        stored = Stored(self.pattern, self.bits, self.granularity)
        for block in walk(original):
            if not writer.has_block(block.index):
                prune_block(writer, block, block.tensors(), family(source.config).linears, stored, self._mask)
            progress("pruning blocks", block.index + 1, block.count)
        if HEAD in shards.names():
            writer.untouched(HEAD.removesuffix(".weight"), "embeddings and the head stay as they are")
        if not writer.has_rest():
            writer.rest(rest(original))
        return writer.finish()

    def _mask(self, name: str, weight: Tensor) -> Tensor:
        if self.pattern == "unstructured":
            return by_matrix(weight.abs(), self.sparsity)
        return by_run(weight.abs(), self.pattern)
