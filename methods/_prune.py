"""Which weights are dropped: the rules of the published baselines, and the writing of a pruned block.

A mask is bool ``(out, in)``, true where a weight goes. Every rule drops the lowest *scores*: |w| for magnitude pruning,
|w_ij| times the root of the mean square of input j for Wanda.

    by_matrix   a threshold for the whole matrix: the score at place int(size * sparsity) and all up to it
    by_row      the int(in * sparsity) lowest of each row; of equals, the first
    by_run      the n lowest of each run of m neighbouring inputs (2:4, 4:8); of equals, the first

"pairwise 4:8" is the 4:8 that sparse products of 4-bit numbers on NVIDIA's tensor cores ask for (PTX, ``mma.sp`` for
.s4): of the four aligned pairs of a run of eight, two go whole. A pair's score is the sum of its scores' squares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from methods import _affine
from methods._affine import parse_granularity
from methods._packing import BITS
from methods._sparse_affine import MaskedAffineLinear
from methods._sparse_bitmask import MaskedLinear
from methods._walk import Block
from methods.artifact import Writer

PATTERNS: Mapping[str, tuple[int, int, int]] = {"2:4": (2, 4, 1), "4:8": (4, 8, 1), "pairwise 4:8": (4, 8, 2)}
"""Pattern -> (how many go, of how many neighbours, how many neighbours go together)."""


def require_sparsity(sparsity: object, pattern: object) -> None:
    """ValueError, a sentence, unless the two can be pruned to."""
    if pattern != "unstructured" and pattern not in PATTERNS:
        raise ValueError(f"pattern={pattern!r}: allowed are 'unstructured', {', '.join(map(repr, PATTERNS))}.")
    if not isinstance(sparsity, int | float) or isinstance(sparsity, bool) or not 0 < sparsity < 1:
        raise ValueError(f"sparsity={sparsity!r}: allowed are numbers above 0 and below 1.")
    if pattern in PATTERNS and sparsity != 0.5:
        raise ValueError(f"pattern={pattern!r} drops half of the weights: sparsity={sparsity!r} has to be 0.5.")


def by_matrix(scores: Tensor, sparsity: float) -> Tensor:
    threshold = scores.flatten().sort().values[int(scores.numel() * sparsity)]
    return scores <= threshold


def by_row(scores: Tensor, sparsity: float) -> Tensor:
    lowest = scores.sort(dim=1, stable=True).indices[:, : int(scores.shape[1] * sparsity)]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, lowest, True)


def by_run(scores: Tensor, pattern: str) -> Tensor:
    drop, of, together = PATTERNS[pattern]
    if together > 1:
        scores = scores.square().unflatten(-1, (-1, together)).sum(-1)
    gone = by_row(scores.reshape(-1, of // together), drop / of).view(scores.shape)
    return gone.repeat_interleave(together, -1)


def together(pattern: str) -> int:
    """How many neighbours go together: what one bit of the stored mask stands for."""
    return PATTERNS[pattern][2] if pattern in PATTERNS else 1


def misfit(columns: int, pattern: str) -> str | None:
    """Why rows of ``columns`` weights cannot be pruned to the pattern; None when they can."""
    if pattern in PATTERNS and columns % (of := PATTERNS[pattern][1]):
        return f"runs of {of} do not divide its {columns} input channels"
    return None


def require_grid(bits: object, granularity: str) -> None:
    """ValueError, a sentence, unless kept weights can be stored like that; 0 bits are 16-bit floats."""
    if bits not in (0, *BITS) or isinstance(bits, bool):
        raise ValueError(f"bits={bits!r}: allowed are 0 (16-bit floats), {', '.join(map(str, BITS))}.")
    parse_granularity(granularity)


@dataclass(frozen=True)
class Stored:
    """How a pruned linear is stored: the pattern of its zeros, and the grid of what is kept."""

    pattern: str
    bits: int
    """0: 16-bit floats."""
    granularity: str

    def misfit(self, columns: int) -> str | None:
        """Why rows of ``columns`` weights cannot be stored like this; None when they can."""
        group = parse_granularity(self.granularity)
        return misfit(columns, self.pattern) or (_affine.misfit(columns, group) if self.bits else None)

    def layer(self, weight: Tensor, bias: Tensor | None) -> MaskedLinear | MaskedAffineLinear:
        """``weight (out, in)``, zero where pruned; with bits, what is left is rounded to the nearest."""
        run = together(self.pattern)
        if not self.bits:
            return MaskedLinear.from_weight(weight, bias, run)
        group = parse_granularity(self.granularity)
        affine = _affine.quantize(weight, self.bits, group)
        return MaskedAffineLinear.holding(affine, self.bits, group, False, bias, run)


def prune_block(
    writer: Writer,
    block: Block,
    tensors: dict[str, Tensor],
    names: tuple[str, ...],
    stored: Stored,
    mask: Callable[[str, Tensor], Tensor],
) -> dict[str, MaskedLinear | MaskedAffineLinear]:
    """Store the block with its linears pruned, and return these by names relative to the block.

    ``tensors``: the block's by full names, as the checkpoint has them; ``mask(name, weight)``: what goes, by relative
    name and float32 weight.
    """
    layers: dict[str, MaskedLinear | MaskedAffineLinear] = {}
    for name in names:
        full = f"{block.prefix}.{name}"
        if reason := stored.misfit(tensors[f"{full}.weight"].shape[1]):
            writer.untouched(full, reason)
            continue
        weight = tensors.pop(f"{full}.weight")
        gone = mask(name, weight.float())
        layers[name] = stored.layer(weight.masked_fill(gone, 0), tensors.pop(f"{full}.bias", None))
    writer.block(block.index, tensors, {f"{block.prefix}.{name}": layer for name, layer in layers.items()})
    return layers
