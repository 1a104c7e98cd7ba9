"""Wanda: prunes the weights that are small on inputs that are small, row by row, without changing the others."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from methods._anchored import sequence_weights
from methods._blocks import Family, family
from methods._moments import require_agreement
from methods._prune import Stored, by_row, by_run, prune_block, require_grid, require_sparsity
from methods._shards import HEAD, Shards
from methods._walk import Block, rest, walk
from methods.artifact import Writer
from methods.base import Calibration, Compressed, Compressor, Progress, Source, silent


@dataclass(frozen=True)
class Wanda(Compressor):
    """Prunes by weights and activations (Sun et al., arXiv 2306.11695), each block reading what pruned ones make."""

    needs: ClassVar[frozenset[str]] = frozenset({"square"})

    sparsity: float = 0.5
    """Share of each row's weights that goes."""
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
        if calibration is None:
            raise ValueError("wanda needs calibration text: give the sweep a [calibration] section.")
        require_agreement(calibration)
        kind, shards, weights = family(source.config), Shards(source.folder), sequence_weights(calibration)
        writer = Writer(folder, source, "wanda", asdict(self), self.code, calibration)
        stored = Stored(self.pattern, self.bits, self.granularity)
        for block in walk(source, calibration.tokens):
            if writer.has_block(block.index):
                layers = {
                    name.removeprefix(f"{block.prefix}."): layer
                    for name, layer in writer.read_layers(block.index).items()
                }
            else:
                mask = partial(self._mask, kind, input_norms(block, kind, weights))
                tensors = {name: shards[name].to(source.device) for name in block.tensors()}
                layers = prune_block(writer, block, tensors, kind.linears, stored, mask)
            for name, layer in layers.items():
                weight = block.module.get_parameter(f"{name}.weight")
                weight.data = layer.dequantize().to(weight)
            block.observe()  # the next block reads what the pruned one makes
            progress("pruning blocks", block.index + 1, block.count)
        if HEAD in shards.names():
            writer.untouched(HEAD.removesuffix(".weight"), "embeddings and the head stay as they are")
        if not writer.has_rest():
            writer.rest(rest(source))
        return writer.finish()

    def _mask(self, kind: Family, norms: dict[str, Tensor], name: str, weight: Tensor) -> Tensor:
        scores = weight.abs() * norms[kind.group_of(name).name]
        return by_row(scores, self.sparsity) if self.pattern == "unstructured" else by_run(scores, self.pattern)


def input_norms(block: Block, kind: Family, weights: Tensor) -> dict[str, Tensor]:
    """Group -> root of the mean square of each input channel, float32 ``(features,)``.

    ``weights (n,)``: what a token of each sequence counts for. All groups are read in one pass, before any is pruned.
    """
    groups = {group.reads: group.name for group in kind.groups}
    parts = weights.split([len(batch) for batch in block.inputs or []])
    sums: dict[str, Tensor] = {}

    def see(linear: str, batch: int, x: Tensor) -> None:
        squares = (x.double().square().sum(1) * parts[batch].to(x.device)[:, None]).sum(0)
        sums[groups[linear]] = sums.get(groups[linear], torch.zeros_like(squares)) + squares

    block.observe(*groups, see=see)
    return {name: total.sqrt().float() for name, total in sums.items()}
