"""OBR: rotate, prune, and move what pruning and rounding destroy onto the weights that are left, in closed form.

Optimal Brain Restoration (Guo et al., arXiv 2509.11177), as its code does it: a linear's weight is rotated, its lowest
scores are dropped row by row, and the kept weights change so that least is lost; then the error of rounding the first
``alpha`` of the columns is moved onto the others in the same way, and these are rounded too, by GPTQ or to the nearest
(``_obr``). Every linear reads what the compressed ones before it make (``_sequential``).

Differences from the authors' code: any ``alpha`` works with both finishes (theirs cuts at one half), and so does every
pattern; H weighs languages, and scores use its damped diagonal; silent channels are not zeroed; the rotation is that of
``_rotation``, by default of each linear's input at run time, which is exact on any architecture; groups can share a
scale; scales are rounded to 16 bits before codes are chosen.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import torch
from torch import Tensor

from methods._affine import parse_granularity
from methods._blocks import family
from methods._obr import Grid, restored, rounded
from methods._prune import PATTERNS, Stored, by_row, by_run, require_grid, require_sparsity, together
from methods._restoration import Factor
from methods._rotated import RotatedLinear
from methods._rotation import rotation
from methods._sequential import Found, Made, Sequence, compress_model, require_bool, require_damp
from methods._shards import Shards
from methods._sparse_affine import MaskedAffineLinear
from methods._sparse_bitmask import MaskedLinear
from methods._stream import require_stream, rotate_stream
from methods.artifact import Writer
from methods.base import Calibration, Compressed, Compressor, Progress, Source, silent

CHOICES = {
    "rotation": ("input", "stream", "none"),
    "score": ("wanda", "magnitude"),
    "finish": ("gptq", "rtn"),
}
SIMULATED = (0, 4, 8)
"""Bits of activations, keys and values."""
CACHED = ("k_proj", "v_proj")
"""What these linears make is cached."""


@dataclass(frozen=True)
class Obr(Compressor):
    """Half of the weights, in 4 bits: what pruning and rounding lose is made good by the weights that stay."""

    needs: ClassVar[frozenset[str]] = frozenset({"gram"})

    sparsity: float = 0.5
    """Share of each row's weights that goes."""
    pattern: str = "unstructured"
    """'unstructured', or '2:4', '4:8' and 'pairwise 4:8': so many of each run of neighbouring inputs."""
    bits: int = 4
    """Bits of each kept weight: 2, 3, 4 or 8 on a symmetric grid, or 0 (16-bit floats, restored only)."""
    granularity: str = "row"
    """With bits, what shares one scale: 'row', or 'group:SIZE' input channels."""
    rotation: str = "input"
    """'input': each linear's, at run time; 'stream': the residual stream's, in the weights; 'none'."""
    score: str = "wanda"
    """What goes first: the least 'wanda' (weight times size of input) or 'magnitude'."""
    alpha: float = 0.5
    """With bits, share of the columns whose rounding error the others make good, 0 to 1."""
    finish: str = "gptq"
    """With bits, how the others are rounded: 'gptq', or 'rtn' (to the nearest)."""
    activation_bits: int = 0
    """Simulated bits of what compressed linears read: 0 (as they are), 4 or 8."""
    kv_bits: int = 0
    """Simulated bits of keys and values, as their linears make them: 0 (as they are), 4 or 8."""
    true_sequential: bool = True
    """Whether a block's later linears are compressed on what its compressed earlier ones make."""
    damp: float = 0.01
    """Share of the mean squared input that is added to every channel's, above 0 and at most 1."""
    seed: int = 0
    """Of the rotation's random signs."""

    def __post_init__(self) -> None:
        require_sparsity(self.sparsity, self.pattern)
        require_grid(self.bits, self.granularity)
        for name, allowed in CHOICES.items():
            if (given := getattr(self, name)) not in allowed:
                raise ValueError(f"{name}={given!r}: allowed are {', '.join(map(repr, allowed))}.")
        if not isinstance(self.alpha, int | float) or isinstance(self.alpha, bool) or not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha={self.alpha!r}: allowed are numbers from 0 to 1.")
        for name in ("activation_bits", "kv_bits"):
            if (given := getattr(self, name)) not in SIMULATED or isinstance(given, bool):
                raise ValueError(f"{name}={given!r}: allowed are 0 (as they are), 4 and 8.")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool):
            raise ValueError(f"seed={self.seed!r}: allowed are whole numbers.")
        require_bool("true_sequential", self.true_sequential)
        require_damp(self.damp)

    def compress(
        self, source: Source, calibration: Calibration | None, folder: Path, progress: Progress = silent
    ) -> Compressed:
        if calibration is None:
            raise ValueError("obr needs calibration text: give the sweep a [calibration] section.")
        family(source.config)
        if self.rotation == "stream":
            require_stream(source)
        stored = Stored(self.pattern, self.bits, self.granularity)
        sequence = Sequence(
            name="obr",
            compress=self.compress_linear,
            misfit=lambda rows, columns: stored.misfit(columns),
            damp=self.damp,
            act_order=False,
            true_sequential=self.true_sequential,
            notes=self._notes,
            turn=self._turn,
        )
        writer = Writer(folder, source, "obr", asdict(self), self.code, calibration)
        if fallbacks := self._fallbacks(source):
            writer.note("rotation", "; ".join(fallbacks))
        with ExitStack() as stack:
            if self.rotation == "stream":
                rotated = stack.enter_context(TemporaryDirectory(prefix="langgap-stream-"))
                source = rotate_stream(source, Path(rotated), self.seed)
            return compress_model(source, calibration, writer, sequence, progress)

    def compress_linear(self, name: str, weight: Tensor, bias: Tensor | None, factor: Factor) -> Made:
        """``weight`` float32 ``(rows, columns)`` of linear ``name``; ``factor`` of its rotated inputs' H."""
        columns = weight.shape[1]
        turn = rotation(columns, self.seed) if self.rotation == "input" else None
        if turn is not None:
            weight = turn.apply(weight.double()).float()
        hessian = factor.hessian
        kept = ~self._gone(weight, hessian.diagonal())
        result = restored(weight, hessian, kept)
        layer: MaskedLinear | MaskedAffineLinear
        if self.bits:
            group = parse_granularity(self.granularity)
            grid = Grid.fitted(weight, self.bits, group)
            result = rounded(result, factor, kept, grid, self.alpha, self.finish == "gptq")
            layer = MaskedAffineLinear.holding(
                grid.affine(result), self.bits, group, True, bias, together(self.pattern)
            )
        else:
            layer = MaskedLinear.from_weight(result, bias, together(self.pattern))
        result = layer.dequantize()
        change = result - weight
        loss = float((change @ hessian * change).sum() / len(weight))
        found = {"loss": loss, "sparsity": float((result == 0).float().mean())}
        outputs = self.kv_bits if name.endswith(CACHED) else 0
        if turn is None and not self.activation_bits and not outputs:
            return Made(layer, found)
        return Made(RotatedLinear(layer, turn, self.activation_bits, outputs), found)

    def _fallbacks(self, source: Source) -> list[str]:
        """Why not all channels of an input, or of the stream, are mixed."""
        kind, shards = family(source.config), Shards(source.folder)
        groups = [group for group in kind.groups if self.rotation == "input" or group.folds_into_norm]
        sizes = {shards[f"{kind.blocks}.0.{group.reads}.weight"].shape[1] for group in groups}
        if self.rotation == "none":
            return []
        return [told for size in sorted(sizes) if (told := rotation(size).fallback)]

    def _turn(self, hessian: Tensor) -> Tensor:
        return rotation(len(hessian), self.seed).turn(hessian) if self.rotation == "input" else hessian

    def _gone(self, weight: Tensor, diagonal: Tensor) -> Tensor:
        scores = weight.abs() * (diagonal.sqrt() if self.score == "wanda" else torch.ones_like(diagonal))
        return by_run(scores, self.pattern) if self.pattern in PATTERNS else by_row(scores, self.sparsity)

    def _notes(self, found: Found) -> dict[str, str]:
        notes = {}
        if found:
            zeros = sorted(told["sparsity"] for told in found.values())
            notes["sparsity"] = f"from {zeros[0]:.2%} to {zeros[-1]:.2%} of a linear's weights are zero as stored"
        if self.activation_bits:
            notes["activations"] = (
                f"simulated: compressed linears read {self.activation_bits}-bit inputs, a symmetric grid per token, "
                "computed in floating point; nothing is saved by it here"
            )
        if self.kv_bits:
            notes["kv_cache"] = (
                f"simulated: keys (before rotary embedding) and values in {self.kv_bits} bits, a symmetric grid per "
                "token, computed in floating point; nothing is saved by it here"
            )
        return notes
