"""One decoder block under AWQ: search every group's scale on the original block, apply all, search clips; then pack.

The search reads calibration text and takes the time; packing follows from what it found and the weights alone.
Nothing here writes to the block: weights are float32 copies, and candidates reach the modules as arguments. (On a CPU
"keep a copy on the CPU" is no copy: implementations that restore weights from one end up worse than plain rounding.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from methods._affine import fake_pieces, misfit
from methods._awq_search import (
    Found,
    Loss,
    OutputLoss,
    Pieces,
    candidates,
    linear_loss,
    search_clip,
    search_scale,
    weight_mean,
)
from methods._blocks import Family, Group
from methods._linear import AffineLinear
from methods._moments import Moments
from methods._walk import Block

CLIPPED_AS_THEY_ARE = ("q_proj", "k_proj")
"""Not clipped: what they make is multiplied with each other, so their own output error says little."""


@dataclass(frozen=True)
class Recipe:
    """What is searched, and on which grid the weights end."""

    bits: int
    group: int | None
    symmetric: bool
    grid: int
    clip_steps: int
    weight_scaling: bool

    def quantizer(
        self, weight: Tensor, low: Tensor | None = None, high: Tensor | None = None, columns: Tensor | None = None
    ) -> Pieces:
        return fake_pieces(weight, self.bits, self.group, self.symmetric, low, high, columns)


@dataclass
class Shrunk:
    """A block on its way to disk: float32 weights as they change, and what was found."""

    weights: dict[str, Tensor]
    """Linear -> float32 ``(out, in)``."""
    tensors: dict[str, Tensor]
    """Everything else of the block, relative names."""
    keep_float32: list[str] = field(default_factory=list)
    """Those of ``tensors`` that must not be rounded to a half type."""
    untouched: dict[str, str] = field(default_factory=dict)
    """Linear -> why it stays as it is."""
    scales: dict[str, Tensor] = field(default_factory=dict)
    """Group -> s, where one was applied."""


class Searched(NamedTuple):
    """What was found for one block."""

    scales: dict[str, Tensor]
    """Group -> s, where it is not 1."""
    limits: dict[str, Tensor]
    """Linear -> where its scaled weights are cut off, float32 ``(rows, groups)``; none for a linear not clipped."""
    notes: dict[str, Any]
    """Group -> r, loss and plain rounding's loss, or why nothing was searched: JSON."""


def search_block(
    block: Block, stored: Mapping[str, Tensor], kind: Family, recipe: Recipe, moments: Moments
) -> Searched:
    """Search one block from its own inputs. ``stored``: its tensors as the checkpoint has them, relative names."""
    shrunk = open_block(stored, kind, recipe)
    found, unscaled = search_scales(block, kind, recipe, moments, shrunk)
    scales = {group: each.scale for group, each in found.items() if bool((each.scale != 1).any())}
    apply_scales(kind, shrunk, scales)
    limits = {}
    for name, weight in shrunk.weights.items():
        if recipe.clip_steps and not name.endswith(CLIPPED_AS_THEY_ARE):
            limits[name] = clip_limit(weight, block.index, kind.group_of(name), recipe, moments, shrunk)
    notes: dict[str, Any] = {
        group: {"r": each.ratio, "loss": each.loss, "plain_loss": each.plain_loss} for group, each in found.items()
    }
    return Searched(scales, limits, notes | {group: {"unscaled": reason} for group, reason in unscaled.items()})


def pack_block(
    stored: Mapping[str, Tensor], kind: Family, recipe: Recipe, searched: Searched
) -> tuple[Shrunk, dict[str, AffineLinear]]:
    """The block with its scales folded in, not clipped, and its packed linears."""
    shrunk = open_block(stored, kind, recipe)
    device = next(iter(stored.values())).device
    apply_scales(kind, shrunk, {group: scale.to(device) for group, scale in searched.scales.items()})
    layers = {}
    for name, weight in shrunk.weights.items():
        limit = searched.limits.get(name)
        high = None if limit is None else limit.to(device)
        low = None if high is None else -high
        bias = shrunk.tensors.pop(f"{name}.bias", None)
        layers[name] = AffineLinear.from_weight(weight, recipe.bits, recipe.group, recipe.symmetric, bias, low, high)
    return shrunk, layers


def open_block(tensors: Mapping[str, Tensor], kind: Family, recipe: Recipe) -> Shrunk:
    """Copies of a block's tensors (relative names, as stored); linears that the groups do not divide are set aside."""
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    shrunk = Shrunk({}, tensors)
    for name in kind.linears:
        if reason := misfit(tensors[f"{name}.weight"].shape[1], recipe.group):
            shrunk.untouched[name] = reason
        else:
            shrunk.weights[name] = tensors.pop(f"{name}.weight").float()  # a clone is a copy even where float is none
    return shrunk


def why_unscaled(group: Group, shrunk: Shrunk) -> str | None:
    """Why this group's input cannot be scaled; None when it can."""
    if any(name in shrunk.untouched for name in group.linears):
        return "its linears are untouched"
    if group.folds_into_norm:
        return None
    if group.fold in shrunk.untouched:
        return f"{group.fold}, which makes its input, is untouched"
    made, read = len(shrunk.weights[group.fold]), shrunk.weights[group.reads].shape[1]
    if made != read:
        return f"{group.fold} makes {made} channels and it reads {read}: heads share keys and values"
    return None


def search_scales(
    block: Block, kind: Family, recipe: Recipe, moments: Moments, shrunk: Shrunk
) -> tuple[dict[str, Found], dict[str, str]]:
    """Every group's best s on the original block, from the block's own inputs; group -> why none was searched."""
    found: dict[str, Found] = {}
    unscaled: dict[str, str] = {}
    seen: dict[str, list[Tensor]] = {group.reads: [] for group in kind.groups}
    block.observe(*seen, see=lambda linear, _, x: seen[linear].append(x))
    for group in kind.groups:
        if reason := why_unscaled(group, shrunk):
            unscaled[group.name] = reason
            continue
        weight = torch.cat([shrunk.weights[name] for name in group.linears])
        means = weight_mean(weight, recipe.group) if recipe.weight_scaling else None
        pairs = candidates(moments.abs_mean(block.index, group.name).to(weight.device), recipe.grid, means)
        loss = _loss(block, group, weight, seen[group.reads])
        try:
            found[group.name] = search_scale(weight, pairs, recipe.quantizer, loss)
        except ValueError as problem:
            raise ValueError(f"{block.prefix}, {' and '.join(group.linears)}: {problem} in the AWQ search.") from None
    return found, unscaled


def _loss(block: Block, group: Group, weight: Tensor, inputs: list[Tensor]) -> Loss:
    if group.inspected == group.reads:
        return linear_loss(weight, inputs)
    module = block.module.get_submodule(group.inspected)
    names = [name.removeprefix(group.inspected + ".") for name in group.linears]
    return OutputLoss(module, names, inputs, block.kwargs if group.inspected == "self_attn" else {})


def apply_scales(kind: Family, shrunk: Shrunk, scales: Mapping[str, Tensor]) -> None:
    """Multiply columns by s and fold 1 / s into what makes the input: the block's function stays as it was."""
    for group in kind.groups:
        if group.name not in scales:
            continue
        scale = scales[group.name]
        if group.folds_into_norm:
            name = f"{group.fold}.weight"
            shrunk.tensors[name], scale = fold_into_norm(shrunk.tensors[name], scale, kind.norm_adds_one)
            if kind.norm_adds_one:
                shrunk.keep_float32.append(name)
        else:
            shrunk.weights[group.fold] /= scale[:, None]
            if (bias := shrunk.tensors.get(f"{group.fold}.bias")) is not None:
                shrunk.tensors[f"{group.fold}.bias"] = (bias.float() / scale).to(bias.dtype)
        for name in group.linears:
            shrunk.weights[name] *= scale
        shrunk.scales[group.name] = scale


def fold_into_norm(weight: Tensor, scale: Tensor, adds_one: bool) -> tuple[Tensor, Tensor]:
    """The norm's new weight, and the scale that it really divides by.

    A gain stored as 1 + w is kept float32: near w = -1 a bfloat16 step is 0.004, 4% of a gain of 0.1. A plain gain
    stays in its dtype (its norm multiplies in it), and the rounding of gain / s is made good in s.
    """
    if adds_one:
        return (1 + weight.float()) / scale - 1, scale
    folded = (weight.float() / scale).to(weight.dtype)
    return folded, torch.where(folded == 0, scale, weight.float() / folded.float())


def clip_limit(weight: Tensor, index: int, group: Group, recipe: Recipe, moments: Moments, shrunk: Shrunk) -> Tensor:
    """The best limits of a scaled weight."""
    gram = scaled_gram(index, group, recipe, moments, shrunk)
    return search_clip(weight, gram.to(weight.device), recipe.quantizer, recipe.clip_steps)


def scaled_gram(index: int, group: Group, recipe: Recipe, moments: Moments, shrunk: Shrunk) -> Tensor:
    """Mean of x x' as a scaled weight reads it, ``(groups, size, size)``: its input is x / s."""
    gram = moments.gram(index, group.name, recipe.group)
    assert gram is not None  # a weight that the groups do not divide is untouched
    if (scale := shrunk.scales.get(group.name)) is not None:
        scale = scale.view(len(gram), -1)
        gram = gram.to(scale.device) / scale[:, :, None] / scale[:, None, :]
    return gram
