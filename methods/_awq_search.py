"""The searches of AWQ, on tensors only: which scale, which clip limit. Losses are float32 sums, never of half floats.

Legend: ``weight (rows, channels)`` float32, the linears of a group stacked; ``s (channels,)`` what its columns are
multiplied by and its input divided by; ``Q`` the quantizer; ``a (channels,)`` the mean |x| of the input.

    scale   s = a^r / sqrt(max(a^r) min(a^r)),  r = 0, 1/n .. (n-1)/n:  least loss of Q(W s) / s   (Lin et al. 2023)
    clip    limit = c max|W| per row and group, c = 1, 0.95 .. 0.55:     least d G d', d = Q(clip(W)) - W

r = 0 is s = 1, so rounding as it is belongs to what is searched. With ``weight_scaling`` (the variant of AutoAWQ)
a^r is divided by w^(1-r), w the mean of the columns' |W| over their group's largest; then s = 1 is tried besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import linear

Pieces = Iterable[tuple[slice, Tensor]]
"""A weight ``(rows, channels)`` by pieces: some rows, and their float32 values, which the reader may overwrite."""
Quantizer = Callable[..., Pieces]
"""``quantizer(weight, low=None, high=None, columns=None)`` -> what is left of ``weight`` (``_affine.fake_pieces``)."""
Loss = Callable[[Pieces], float]
"""``loss(weight)``: what replacing the stacked weights by these costs."""

FLOOR = 1e-4
"""Least a^r, and what keeps quotients from dividing by zero."""


class Found(NamedTuple):
    """The best scale of a group."""

    scale: Tensor
    ratio: float
    """The exponent r it came from."""
    loss: float
    plain_loss: float
    """The loss of s = 1: plain rounding."""


def candidates(abs_mean: Tensor, grid: int, weight_mean: Tensor | None = None) -> list[tuple[float, Tensor]]:
    """``grid`` pairs (r, s); the first is s = 1. With ``weight_mean`` there is one more."""
    pairs = [] if weight_mean is None else [(0.0, torch.ones_like(abs_mean))]
    for step in range(grid):
        ratio = step / grid
        scale = abs_mean**ratio
        if weight_mean is not None:
            scale = scale / (weight_mean ** (1 - ratio) + FLOOR)
        scale = scale.clamp(min=FLOOR)
        pairs.append((ratio, scale / (scale.max() * scale.min()).sqrt()))
    return pairs


def weight_mean(weight: Tensor, group: int | None) -> Tensor:
    """``(channels,)``: mean over rows of |W| / max|W| of the row's group."""
    grouped = weight.abs().view(len(weight), -1, group or weight.shape[1])
    return (grouped / (grouped.amax(-1, keepdim=True) + 1e-6)).view_as(weight).mean(0)


def search_scale(weight: Tensor, pairs: Sequence[tuple[float, Tensor]], quantizer: Quantizer, loss: Loss) -> Found:
    """The pair with the least loss; among equals the first. ValueError where no loss is finite."""
    losses = [loss(quantizer(weight, columns=scale)) for _, scale in pairs]
    finite = [(value, index) for index, value in enumerate(losses) if value == value and value != float("inf")]
    if not finite:
        raise ValueError("no scale gives a finite loss")
    value, index = min(finite)
    return Found(pairs[index][1], pairs[index][0], value, losses[0])


class OutputLoss:
    """Mean squared change of a module's output when some of its linears get other weights.

    ``inputs``: tensors ``(batch, length, hidden)`` in the module's dtype; ``kwargs`` go with each.
    """

    def __init__(
        self, module: nn.Module, linears: Sequence[str], inputs: Sequence[Tensor], kwargs: Mapping[str, Any]
    ) -> None:
        self._module, self._inputs, self._kwargs = module, inputs, kwargs
        weights = [module.get_parameter(f"{name}.weight") for name in linears]
        self._names = [f"{name}.weight" for name in linears]
        self._rows = [len(weight) for weight in weights]
        self._stacked = weights[0].new_empty(sum(self._rows), weights[0].shape[1])
        self._original = self._outputs({})

    def _outputs(self, weights: dict[str, Tensor]) -> list[Tensor]:
        outputs = []
        with torch.no_grad():
            for x in self._inputs:
                output = functional_call(self._module, weights, (x,), dict(self._kwargs))
                outputs.append(output[0] if isinstance(output, tuple) else output)
        return outputs

    def __call__(self, weight: Pieces) -> float:
        for rows, values in weight:
            self._stacked[rows] = values
        parts = self._stacked.split(self._rows)
        outputs = self._outputs(dict(zip(self._names, parts, strict=True)))
        return mean_squared_difference(outputs, self._original)


def mean_squared_difference(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    total = sum(float((a - b).float().square().sum()) for a, b in zip(left, right, strict=True))
    return total / sum(a.numel() for a in left)


def direct_loss(original: Tensor, inputs: Sequence[Tensor]) -> Loss:
    """Mean squared output change of one linear: mean over tokens and rows of (E x)^2, E the weight's change.

    The products run in the inputs' dtype, on E and not on W: rounding is relative to the error itself.
    """
    x = torch.cat([part.flatten(0, -2) for part in inputs])
    error = torch.empty_like(original, dtype=x.dtype)

    def loss(weight: Pieces) -> float:
        for rows, values in weight:
            error[rows] = values.sub_(original[rows])
        change = linear(x, error)
        return float(change.float().square().sum()) / change.numel()

    return loss


def gram_loss(original: Tensor, gram: Tensor) -> Loss:
    """The same as ``direct_loss`` from H = mean of x x' ``(channels, channels)``: tr(E H E') / rows."""

    def loss(weight: Pieces) -> float:
        total = 0.0
        for rows, values in weight:
            change = values.sub_(original[rows])
            total += float((change @ gram).mul_(change).sum())
        return total / len(original)

    return loss


def linear_loss(original: Tensor, inputs: Sequence[Tensor]) -> Loss:
    """Whichever form is faster: tokens x channels against channels x channels products per row.

    In half precision products cost a fraction of float32's, and the Gram form needs float32.
    """
    tokens = sum(part.numel() // part.shape[-1] for part in inputs)
    if inputs[0].dtype != torch.float32 or tokens <= original.shape[1]:
        return direct_loss(original, inputs)
    x = torch.cat([part.flatten(0, -2) for part in inputs])
    return gram_loss(original, x.T @ x / tokens)


def search_clip(weight: Tensor, gram: Tensor, quantizer: Quantizer, steps: int, step: float = 0.05) -> Tensor:
    """The limit per row and group that costs least: float32 ``(rows, groups)``, at most max|W| of the group.

    ``gram (groups, size, size)``: mean of x x' of the groups' inputs, x as this weight reads it; so the loss is
    over all tokens, for the price of ``size`` of them. Both ends of a group are cut at the same limit.
    """
    rows, groups = len(weight), len(gram)
    largest = weight.view(rows, groups, -1).abs().amax(-1)
    best, limit = torch.full_like(largest, torch.inf), largest.clone()
    for index in range(steps):
        bound = largest * (1 - step * index)
        for some, values in quantizer(weight, low=-bound, high=bound):
            change = values.sub_(weight[some]).view(len(values), groups, -1).transpose(0, 1)
            loss = (change @ gram).mul_(change).sum(-1).T  # (some of the rows, groups)
            better = loss < best[some]
            best[some] = torch.where(better, loss, best[some])
            limit[some] = torch.where(better, bound[some], limit[some])
    return limit
