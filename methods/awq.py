"""AWQ: scale the input channels that matter before rounding, then clip (Lin et al., arXiv 2306.00978).

A group of linears that read one input x compute W x = (W s)(x / s). Channels that are large on calibration text get a
large s, so that rounding costs them less; x / s is folded into whatever makes x (``_blocks``), so nothing is left to
do at run time. Then each row's groups are clipped where that costs less than it saves.

Differences from the authors' code: the range always holds 0 (``_affine``); clip losses are over all tokens by Gram
matrices, not 512 of them; weights are scaled and quantized in float32 from a copy; where a plain norm's folded gain
is rounded to its dtype, s is corrected so that the fold stays exact.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from methods._affine import parse_granularity
from methods._awq_block import Recipe, Shrunk, apply_scales, clip_and_pack, open_block, search_scales
from methods._blocks import Family, family
from methods._files import write_text
from methods._linear import AffineLinear
from methods._moments import Moments, gather
from methods._packing import BITS
from methods._shards import HEAD, Shards
from methods._walk import Block, rest, walk
from methods.artifact import Writer
from methods.base import Calibration, Compressed, Compressor, Progress, Source, silent

SEARCH = "search.json"
"""What was found, in the artifact: block -> group -> r, loss and plain rounding's loss, or why nothing was searched."""
SHORTEST = 256
"""Tokens: sequences are not cut shorter than this to compare scales, so that attention has something to attend to."""


@dataclass(frozen=True)
class Awq(Compressor):
    """Activation-aware rounding: scales and clips so that the channels calibration text uses most lose least."""

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
        if self.bits not in BITS or isinstance(self.bits, bool):
            raise ValueError(f"bits={self.bits!r}: allowed are {', '.join(map(str, BITS))}.")
        parse_granularity(self.granularity)
        for name in ("symmetric", "clip", "weight_scaling"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r}: allowed are true and false.")
        for name, most in (("grid", 1000), ("clip_grid", 20), ("search_tokens", None)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1 or (most and value > most):
                limit = f"from 1 to {most}" if most else "from 1"
                raise ValueError(f"{name}={value!r}: allowed are whole numbers {limit}.")

    def compress(
        self, source: Source, calibration: Calibration | None, folder: Path, progress: Progress = silent
    ) -> Compressed:
        if calibration is None:
            raise ValueError("awq needs calibration text: give the sweep a [calibration] section.")
        kind = family(source.config)
        recipe = self._recipe()
        needs = {"abs_mean"} | ({f"gram:{recipe.group or 'row'}"} if self.clip else set())
        moments = gather(source, calibration, needs, progress)
        writer = Writer(folder, source, "awq", asdict(self), self.code, calibration)
        shards = Shards(source.folder)
        for block in walk(source, search_sequences(calibration, self.search_tokens)):
            if not writer.has_block(block.index):
                stored = {name: shards[f"{block.prefix}.{name}"] for name in block.module.state_dict()}
                shrunk, layers = compress_block(block, stored, kind, recipe, moments)
                _store(writer, block, shrunk, layers)
            progress("awq blocks", block.index + 1, block.count)
        if HEAD in shards.names():
            writer.untouched(HEAD.removesuffix(".weight"), "embeddings and the head stay as they are")
        if not writer.has_rest():
            writer.rest(rest(source))
        return writer.finish()

    def _recipe(self) -> Recipe:
        return Recipe(
            bits=self.bits,
            group=parse_granularity(self.granularity),
            symmetric=self.symmetric,
            grid=self.grid,
            clip_steps=self.clip_grid if self.clip else 0,
            weight_scaling=self.weight_scaling,
        )


def _store(writer: Writer, block: Block, shrunk: Shrunk, layers: dict[str, AffineLinear]) -> None:
    """Write a finished block; what was found goes first, so that a stored block is never without it."""
    path = writer.folder / SEARCH
    notes: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    found = {group: {"r": f.ratio, "loss": f.loss, "plain_loss": f.plain_loss} for group, f in shrunk.found.items()}
    notes[block.prefix] = found | {group: {"unscaled": reason} for group, reason in shrunk.unscaled.items()}
    write_text(path, json.dumps(notes, indent=1) + "\n")
    for name, reason in shrunk.untouched.items():
        writer.untouched(f"{block.prefix}.{name}", reason)
    writer.block(
        block.index,
        {f"{block.prefix}.{name}": tensor for name, tensor in shrunk.tensors.items()},
        {f"{block.prefix}.{name}": layer for name, layer in layers.items()},
        [f"{block.prefix}.{name}" for name in shrunk.keep_float32],
    )


def compress_block(
    block: Block, stored: dict[str, Tensor], kind: Family, recipe: Recipe, moments: Moments
) -> tuple[Shrunk, dict[str, AffineLinear]]:
    """One block (``stored``: its tensors as the checkpoint has them, relative names) and its packed linears."""
    device = block.inputs[0].device if block.inputs else "cpu"
    shrunk = open_block({name: tensor.to(device) for name, tensor in stored.items()}, kind, recipe)
    search_scales(block, kind, recipe, moments, shrunk)
    apply_scales(
        kind, shrunk, {name: found.scale for name, found in shrunk.found.items() if bool((found.scale != 1).any())}
    )
    layers = clip_and_pack(block.index, kind, recipe, moments, shrunk)
    return shrunk, layers


def search_sequences(calibration: Calibration, most: int) -> Tensor:
    """At most ``most`` tokens (at least one sequence's first ``SHORTEST``): the beginnings of the sequences.

    Blocks are causal, so a beginning sees what it saw in its whole sequence. Where even short beginnings of all
    sequences are too many, languages take turns.
    """
    sequences, length = calibration.tokens.shape
    length = min(length, max(SHORTEST, most // sequences))
    turns: dict[str, int] = {}
    order = []
    for index, language in enumerate(calibration.languages):
        turns[language] = turns.get(language, -1) + 1
        order.append((turns[language], index))
    chosen = sorted(index for _, index in sorted(order)[: max(1, most // length)])
    return calibration.tokens[chosen, :length]
