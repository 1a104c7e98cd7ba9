"""SqueezeLLM: a codebook per row, fitted to what the loss minds, and a few weights beside it (arXiv 2306.07629).

Each row of a weight matrix gets 2^bits values of its own, by k-means weighted with the Fisher diagonal (``_fisher``,
``_codebook``). Sensitive weights and outliers are kept in 16 bits (``_split``) and pull no value.

Differences from the authors' code: the k-means is solved (nearly) to its optimum for all rows at once, where theirs
starts scikit-learn once per row; Fisher sums are float32 and per language; the outlier threshold is found, not turned
by hand; tables are rounded to float16 before codes are chosen; a kept weight takes 32 bits, not 48.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from methods._blocks import family
from methods._codebook import SOLVERS
from methods._files import write_text
from methods._fisher import Fisher, fisher
from methods._lut import LutLinear
from methods._shards import HEAD, Shards
from methods._split import Distances, costliest, distance, largest, split
from methods._walk import Block, rest, walk
from methods.artifact import Writer
from methods.base import Calibration, Compressed, Compressor, Progress, Source, silent

NOTES = "outliers.json"
"""In the artifact: ``r``, how many interquartile ranges from the quartiles outliers begin; null without outliers."""
BITS = (2, 3, 4)
SELECTIONS = ("paper", "error")
MOST = 0.1


@dataclass(frozen=True)
class SqueezeLlm(Compressor):
    """Non-uniform quantization: each row's own values, placed where the loss minds, and a few weights kept apart."""

    code: ClassVar[int] = 4
    needs: ClassVar[frozenset[str]] = frozenset({"fisher"})

    bits: int = 4
    """Bits per weight: 2, 3 or 4, for a table of 4, 8 or 16 values per row."""
    sensitive: float = 0.0005
    """Share of each matrix kept in 16 bits because the loss minds it most; 0 keeps none."""
    outliers: float = 0.004
    """Share of all weights kept in 16 bits because they lie far out; 0 keeps none."""
    selection: str = "paper"
    """What is kept: 'paper' (the two rules above), or 'error' (as many of each matrix, those that cost most)."""
    solver: str = "histogram"
    """How values are found: 'histogram' (fast, within 0.1% of the best), or 'exact' (the best, much slower)."""
    sequences: int = 10
    """Calibration sequences of each language whose gradients are taken, at most."""

    def __post_init__(self) -> None:
        if self.bits not in BITS or isinstance(self.bits, bool):
            raise ValueError(f"bits={self.bits!r}: allowed are {', '.join(map(str, BITS))}.")
        for name in ("sensitive", "outliers"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MOST:
                raise ValueError(f"{name}={value!r}: allowed are shares from 0 to {MOST}, such as 0.004 for 0.4%.")
        for name, allowed in (("selection", SELECTIONS), ("solver", SOLVERS)):
            if getattr(self, name) not in allowed:
                quoted = " and ".join(f"'{word}'" for word in allowed)
                raise ValueError(f"{name}={getattr(self, name)!r}: allowed are {quoted}.")
        if not isinstance(self.sequences, int) or isinstance(self.sequences, bool) or self.sequences < 1:
            raise ValueError(f"sequences={self.sequences!r}: allowed are whole numbers from 1.")

    def compress(
        self, source: Source, calibration: Calibration | None, folder: Path, progress: Progress = silent
    ) -> Compressed:
        if calibration is None:
            raise ValueError("squeezellm needs calibration text: give the sweep a [calibration] section.")
        names = family(source.config).linears
        importance = fisher(source, calibration, progress, self.sequences)
        shards = Shards(source.folder)
        stored = replace(source, dtype=shards.dtype)  # clustering reads the original's own numbers, whatever type runs
        writer = Writer(folder, source, "squeezellm", asdict(self), self.code, calibration)
        r = self._threshold(stored, importance, names, progress)
        write_text(writer.folder / NOTES, json.dumps({"r": None if r == float("inf") else r}) + "\n")
        for block in walk(stored):
            if not writer.has_block(block.index):
                tensors, layers = block.tensors(), {}
                for name in names:
                    full = f"{block.prefix}.{name}"
                    weight, bias = tensors.pop(f"{full}.weight"), tensors.pop(f"{full}.bias", None)
                    heed = importance.diagonal(block.index, name).to(weight.device)
                    layers[full] = self._layer(weight, heed, bias, r)
                writer.block(block.index, tensors, layers)
            progress("squeezellm blocks", block.index + 1, block.count)
        if HEAD in shards.names():
            writer.untouched(HEAD.removesuffix(".weight"), "embeddings and the head stay as they are")
        if not writer.has_rest():
            writer.rest(rest(stored))
        return writer.finish()

    def _threshold(self, source: Source, importance: Fisher, names: tuple[str, ...], progress: Progress) -> float:
        """r, for which the share of outliers in the whole model is right: one pass over all weights."""
        if self.selection == "error" or not self.outliers:
            return float("inf")
        distances = Distances()
        for block in walk(source):
            for name in names:
                weight = block.module.get_parameter(f"{name}.weight").detach()
                distances.add(distance(weight), self._sensitive(weight, importance, block, name))
            progress("looking for outliers", block.index + 1, block.count)
        return distances.cut(self.outliers)

    def _sensitive(self, weight: Tensor, importance: Fisher, block: Block, name: str) -> Tensor:
        if not self.sensitive:
            return torch.zeros_like(weight, dtype=torch.bool)
        return largest(importance.diagonal(block.index, name).to(weight.device), self.sensitive)

    def _layer(self, weight: Tensor, importance: Tensor, bias: Tensor | None, r: float) -> LutLinear:
        k = 2**self.bits
        if self.selection == "error":
            kept = costliest(weight, importance, self.sensitive + self.outliers, k)
        else:
            kept = largest(importance, self.sensitive)
            kept |= distance(weight) >= r
        book, sparse = split(weight, importance, kept, k, self.solver)
        return LutLinear.from_codebook(book, self.bits, sparse, bias)
